# shellcheck shell=bash
# users.sh, to be sourced: the users that the tests run zbox as, each with a session. tester has five controllers delegated
# and two ranges of ids more, plain has what the distribution gives. Those that are made here go at the end.

made=()

# user NAME: makes the user and lets it have a session without logging in.
user() {
	if ! id "$1" >/dev/null 2>&1; then
		useradd --create-home --shell /bin/bash "$1"
		made+=("$1")
		if [ "$1" = tester ]; then
			delegate "$1"
		fi
	fi
	loginctl enable-linger "$1"
	systemctl start "user@$(id -u "$1").service"
}

delegate() {
	local dir
	dir=/run/systemd/system/user@$(id -u "$1").service.d
	usermod --add-subuids 100000-165535 --add-subuids 300000-300999 --add-subgids 100000-165535 --add-subgids 300000-300999 "$1"
	mkdir -p "$dir"
	printf '[Service]\nDelegate=cpu cpuset io memory pids\n' >"$dir/delegate.conf"
	systemctl daemon-reload
}

remove_users() {
	local name uid
	for name in "${made[@]}"; do
		uid=$(id -u "$name")
		loginctl disable-linger "$name"
		systemctl stop "user@$uid.service"
		rm -rf "/run/systemd/system/user@$uid.service.d"
		userdel --remove "$name" 2>/dev/null
	done
	systemctl daemon-reload
}
trap remove_users EXIT
user tester
user plain
