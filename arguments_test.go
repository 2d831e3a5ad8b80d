package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestTakeApart(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want invocation
	}{
		{
			"value behind a space or an equals sign",
			[]string{"--root", "/r", "--log=/l", "create", "--bundle", "/b", "--pid-file=/p", "web"},
			invocation{[]string{"--root=/r", "--log=/l"}, "create", []string{"--bundle=/b", "--pid-file=/p"}, []string{"web"}, false, -1},
		},
		{
			"long flags with one dash",
			[]string{"-root", "/r", "restore", "-no-subreaper", "-bundle=/b", "web"},
			invocation{[]string{"--root=/r"}, "restore", []string{"--no-subreaper", "--bundle=/b"}, []string{"web"}, false, -1},
		},
		{
			"a flag given twice, also by its two names",
			[]string{"--systemd-cgroup", "--systemd-cgroup", "create", "-b", "/a", "--bundle", "/b", "web"},
			invocation{[]string{"--systemd-cgroup", "--systemd-cgroup"}, "create", []string{"--bundle=/a", "--bundle=/b"}, []string{"web"}, false, -1},
		},
		{
			"flags behind the ID",
			[]string{"kill", "web", "--all", "KILL"},
			invocation{nil, "kill", []string{"--all"}, []string{"web", "KILL"}, false, -1},
		},
		{
			"a negative number as value",
			[]string{"update", "--memory-swap", "-1", "web", "--pids-limit", "-1"},
			invocation{nil, "update", []string{"--memory-swap=-1", "--pids-limit=-1"}, []string{"web"}, false, -1},
		},
		{
			"a single dash is a value and an operand",
			[]string{"update", "--resources", "-", "-"},
			invocation{nil, "update", []string{"--resources=-"}, []string{"-"}, false, -1},
		},
		{
			"an empty value",
			[]string{"exec", "--user", "", "web", "id"},
			invocation{nil, "exec", []string{"--user="}, []string{"web", "id"}, false, -1},
		},
		{
			"everything behind the ID of exec is the command",
			[]string{"exec", "-t", "web", "-t", "--", "--help", "-x=1"},
			invocation{nil, "exec", []string{"--tty"}, []string{"web", "-t", "--", "--help", "-x=1"}, false, -1},
		},
		{
			"everything behind the ID of ps is for ps",
			[]string{"ps", "--format", "table", "web", "-ef", "--format"},
			invocation{nil, "ps", []string{"--format=table"}, []string{"web", "-ef", "--format"}, false, -1},
		},
		{
			"an ID that starts with a dash behind --",
			[]string{"delete", "--force", "--", "-x"},
			invocation{nil, "delete", []string{"--force"}, []string{"-x"}, true, 0},
		},
		{
			"a sandbox with arguments",
			[]string{"-c", "box.json", "--", "-x", "run"},
			invocation{[]string{"--config=box.json"}, "", nil, []string{"-x", "run"}, true, 0},
		},
		{"help as a command", []string{"help"}, invocation{[]string{"--help"}, "", nil, nil, false, -1}},
		{"help as a command, of a command", []string{"help", "run"}, invocation{nil, "run", []string{"--help"}, nil, false, -1}},
		{"version before a command", []string{"-v", "run", "--bogus"}, invocation{[]string{"--version"}, "", nil, nil, false, -1}},
		{
			"help of a command",
			[]string{"checkpoint", "--help"},
			invocation{nil, "checkpoint", []string{"--help"}, nil, false, -1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := takeApart(tt.args)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestTakeApartRefuses(t *testing.T) {
	tests := []struct{ name, args, want string }{
		{"a value flag at the end", "restore --lsm-mount-context", "flag needs an argument: --lsm-mount-context"},
		{"a value flag at the end, behind the ID", "restore web --lsm-mount-context", "flag needs an argument: --lsm-mount-context"},
		{"a short value flag at the end", "create -b", "flag needs an argument: -b"},
		{"an unknown flag", "create --bogus web", "flag provided but not defined: --bogus"},
		{"an unknown global flag", "--bogus create web", "flag provided but not defined: --bogus"},
		{"a command's flag before the command", "--bundle /b create web", "flag provided but not defined: --bundle"},
		{"a flag with a slip", "create --bundel /b web", "flag provided but not defined: --bundel; did you mean --bundle?"},
		{"an unknown command", "frobnicate web", `unknown command "frobnicate" (zbox --help lists them)`},
		{"a command with a slip", "cretae web", `unknown command "cretae"; did you mean "create"?`},
		{"a sandbox's arguments without --", "-c box.json run", "the arguments of a sandbox come after --: -c FILE -- run"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := takeApart(strings.Fields(tt.args))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestSubjectNamesCommandAndContainer(t *testing.T) {
	for args, want := range map[string]string{
		"--root /r create -b /b web": "create web",
		"features":                   "features",
		"exec web sh -c x":           "exec web",
		"-c box.json -- a":           "",
	} {
		inv, err := takeApart(strings.Fields(args))
		if err != nil {
			t.Fatal(err)
		}
		if got := inv.subject(); got != want {
			t.Errorf("%s: got %q, want %q", args, got, want)
		}
	}
}
