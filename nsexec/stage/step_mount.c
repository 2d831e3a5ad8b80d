/* Filesystems and binds, with the new mount API: a mount is complete before it is attached to its target's descriptor.
 */
#include "stage.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The kernel's own words about a filesystem context, such as "overlay: workdir and upperdir must reside under the
 * same mount"; "" when it has none. */
static const char *kernel_log(int context)
{
	static char log[200];
	ssize_t n = read(context, log, sizeof(log) - 1);
	if (n <= 0)
		return "";
	while (n > 0 && log[n - 1] == '\n')
		n--;
	log[n] = 0;
	return log[0] && log[1] == ' ' ? log + 2 : log; /* "e ", "w " or "i " comes first */
}

_Noreturn static void fail_context(int error, int context, const char *what, const char *name)
{
	const char *log = kernel_log(context);
	fail(error, what, name, *log ? ": " : "", log);
}

/* fsconfig takes values of up to 255 bytes. The one parameter that is longer in practice is overlay's list of lower
 * layers, which can be given one by one (Linux 6.8). */
static void add_lower_layers(int context, char *layers)
{
	while (*layers) {
		char *end = strchr(layers, ':');
		if (end)
			*end = 0;
		if (sys_fsconfig(context, FSCONFIG_SET_STRING, "lowerdir+", layers) < 0)
			fail_context(errno, context, "option lowerdir+=", layers);
		if (!end)
			break;
		layers = end + 1;
	}
}

/* Layers of an overlay without a slash in front are directories of the container's root, also mounts that came before:
 * by descriptor, because the container's root may not reach the path and because nobody can put a link in its place.
 * The descriptors stay until close_fds: kernels before 6.5 look at them when the filesystem is made. */
static const char *layers_in_root(const char *layers)
{
	static char value[PATH_SIZE], path[PATH_SIZE];
	size_t length = 0;
	for (;; layers++) {
		size_t n = strcspn(layers, ":");
		char where[32] = "/proc/self/fd/";
		memcpy(path, layers, n); /* an option is shorter than PATH_SIZE */
		path[n] = 0;
		const char *layer = path;
		if (n && path[0] != '/') {
			need_root();
			int fd = resolve(path, O_PATH | O_DIRECTORY, 0);
			if (fd < 0)
				fail(errno, "open the layer ", path, " in the root");
			const char *digits = decimal((uint64_t)fd);
			memcpy(where + 14, digits, strlen(digits) + 1);
			layer = where;
			n = strlen(where);
		}
		if (length + n + 2 > sizeof(value))
			fail(E2BIG, "layers of an overlay");
		memcpy(value + length, layer, n);
		length += n;
		layers += strcspn(layers, ":");
		if (!*layers)
			break;
		value[length++] = ':';
	}
	value[length] = 0;
	return value;
}

static bool is_layers(const char *key)
{
	return strcmp(key, "lowerdir") == 0 || strcmp(key, "upperdir") == 0 || strcmp(key, "workdir") == 0;
}

static void set_option(int context, const char *option)
{
	static char key[PATH_SIZE];
	size_t n = strlen(option);
	if (n >= sizeof(key))
		fail(E2BIG, "option ", option);
	memcpy(key, option, n + 1);
	char *value = strchr(key, '=');
	if (!value) {
		if (sys_fsconfig(context, FSCONFIG_SET_FLAG, key, NULL) < 0)
			fail_context(errno, context, "option ", option);
		return;
	}
	*value++ = 0;
	if (is_layers(key) && !strchr(value, '\\')) {
		const char *layers = layers_in_root(value);
		if ((size_t)(value - key) + strlen(layers) >= sizeof(key))
			fail(E2BIG, "option ", option);
		memcpy(value, layers, strlen(layers) + 1);
	}
	if (strlen(value) > 255 && strcmp(key, "lowerdir") == 0 && !strchr(value, '\\')) {
		add_lower_layers(context, value);
		return;
	}
	if (sys_fsconfig(context, FSCONFIG_SET_STRING, key, value) < 0)
		fail_context(errno, context, "option ", option);
}

static void set_options(int context, struct zb_ref options)
{
	for (uint32_t i = 0; i < options.length; i++)
		set_option(context, list_text(options, i));
}

static int make_filesystem(int context, const char *type, uint64_t attributes)
{
	if (sys_fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
		fail_context(errno, context, "create filesystem ", type);
	int mount = sys_fsmount(context, attributes);
	if (mount < 0)
		fail_context(errno, context, "mount filesystem ", type);
	close(context);
	return mount;
}

static int open_filesystem(const char *type, const char *source, struct zb_ref options)
{
	int context = sys_fsopen(type);
	if (context < 0)
		fail(errno, "open filesystem type ", type);
	if (*source && sys_fsconfig(context, FSCONFIG_SET_STRING, "source", source) < 0)
		fail_context(errno, context, "source ", source);
	set_options(context, options);
	return context;
}

/* A new detached filesystem. */
int new_filesystem(const char *type, const char *source, struct zb_ref options, uint64_t attributes)
{
	return make_filesystem(open_filesystem(type, source, options), type, attributes);
}

static void set_attributes(int mount, unsigned recursive, uint64_t set, uint64_t clear, const char *where)
{
	if ((set || clear) && sys_mount_setattr(mount, recursive, set, clear, 0) < 0)
		fail(errno, recursive ? "set recursive attributes of " : "set attributes of ", where);
}

static void attach(int mount, int target, const char *where)
{
	cover_mount(target);
	if (sys_move_mount(mount, target) < 0)
		fail(errno, "attach mount to ", where);
	close(target);
}

/* What is mounted on the root is the root from then on. */
static void done_with(int mount, uint32_t flags, const char *where)
{
	if (strcmp(where, "/") == 0) {
		forget_mounts();
		keep_root(mount);
	} else if (flags & ZB_MOUNT_REAL_DIR)
		keep_mount(mount, where);
	else
		close(mount);
}

static unsigned target_flags(uint32_t flags)
{
	return (flags & ZB_MOUNT_REAL_DIR ? TARGET_NO_SYMLINKS : 0u) |
	       (flags & ZB_MOUNT_TARGET_NOFOLLOW ? TARGET_NOFOLLOW : 0u);
}

static bool has_option(struct zb_ref options, const char *prefix)
{
	for (uint32_t i = 0; i < options.length; i++)
		if (strncmp(list_text(options, i), prefix, strlen(prefix)) == 0)
			return true;
	return false;
}

/* A tmpfs keeps the mode of an existing directory that it covers, unless its options say otherwise, as with runc. */
static void keep_mode(int context, int target)
{
	char mode[8], *p = mode + sizeof(mode) - 1;
	struct stat st;
	if (fstat(target, &st) < 0)
		fail(errno, "look at the target");
	*p = 0;
	for (unsigned m = st.st_mode & 07777; m || !*p; m >>= 3)
		*--p = (char)('0' + (m & 7));
	if (sys_fsconfig(context, FSCONFIG_SET_STRING, "mode", p) < 0)
		fail_context(errno, context, "option mode=", p);
}

void step_mount(const struct zb_mount *s)
{
	const char *where = text(s->target), *type = text(s->fs_type);
	bool fill = s->flags & ZB_MOUNT_TMPCOPYUP;
	need_root();
	int target = open_target(where, TARGET_DIR, target_flags(s->flags));
	int context = open_filesystem(type, text(s->source), s->options);
	if (strcmp(type, "tmpfs") == 0 && !stage.made_target && !has_option(s->options, "mode="))
		keep_mode(context, target);
	uint64_t late = fill ? s->attr & MOUNT_ATTR_RDONLY : 0; /* not before it is filled */
	int mount = make_filesystem(context, type, s->attr & ~late);
	if (fill)
		copy_up(target, mount, where);
	set_attributes(mount, 0, late, 0, where);
	attach(mount, target, where);
	set_attributes(mount, AT_RECURSIVE, s->rec_set, s->rec_clear, where);
	set_propagation(mount, s->propagation, where);
	done_with(mount, s->flags, where);
}

/* copy-symlink: returns false when the source is no symlink. */
static bool copy_symlink(const char *source, const char *where)
{
	static char content[PATH_SIZE];
	ssize_t n = readlink(source, content, sizeof(content) - 1);
	if (n < 0)
		return false;
	content[n] = 0;
	const char *name;
	int parent = open_parent(where, &name);
	if (symlinkat(content, parent, name) < 0) {
		static char there[PATH_SIZE];
		ssize_t m = errno == EEXIST ? readlinkat(parent, name, there, sizeof(there) - 1) : -1;
		if (m != n || memcmp(there, content, (size_t)n) != 0)
			fail(EEXIST, "copy symlink ", source, " to ", where);
	}
	close(parent);
	return true;
}

/* The detached tree to attach, or -1 if it is missing and optional. */
static int open_source(const struct zb_bind *s)
{
	int tree = plan_fd(s->fd);
	if (tree >= 0) {
		/* cloned in the host's namespace: a shared tree must not stay a peer of the host's */
		set_propagation(tree, MS_SLAVE | MS_REC, text(s->source));
		return tree;
	}
	unsigned flags = OPEN_TREE_CLONE | (s->flags & ZB_MOUNT_RECURSIVE ? AT_RECURSIVE : 0);
	if (s->flags & ZB_MOUNT_SOURCE_NOFOLLOW)
		flags |= AT_SYMLINK_NOFOLLOW;
	tree = sys_open_tree(AT_FDCWD, text(s->source), flags);
	if (tree < 0 && !(errno == ENOENT && (s->flags & ZB_MOUNT_OPTIONAL)))
		fail(errno, "open source ", text(s->source));
	return tree;
}

void step_bind(const struct zb_bind *s)
{
	const char *where = text(s->target);
	struct stat st;
	need_root();
	if ((s->flags & ZB_MOUNT_COPY_SYMLINK) && copy_symlink(text(s->source), where))
		return;
	int tree = open_source(s);
	if (tree < 0)
		return;
	if (fstat(tree, &st) < 0)
		fail(errno, "look at source ", text(s->source));
	int target = open_target(where, S_ISDIR(st.st_mode) ? TARGET_DIR : TARGET_FILE, target_flags(s->flags));
	set_attributes(tree, 0, s->attr_set, s->attr_clear, where);
	set_attributes(tree, AT_RECURSIVE, s->rec_set, s->rec_clear, where);
	attach(tree, target, where);
	set_propagation(tree, s->propagation, where);
	done_with(tree, s->flags, where);
}

void step_remount(const struct zb_remount *s)
{
	const char *where = text(s->target);
	int mount = resolve(where, O_PATH, 0);
	if (mount < 0)
		fail(errno, "open ", where);
	if (s->options.length) {
		int context = sys_fspick(mount);
		if (context < 0)
			fail(errno, "pick the filesystem at ", where);
		set_options(context, s->options);
		if (sys_fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL) < 0)
			fail_context(errno, context, "reconfigure the filesystem at ", where);
		close(context);
	}
	set_attributes(mount, 0, s->attr_set, s->attr_clear, where);
	set_attributes(mount, AT_RECURSIVE, s->rec_set, s->rec_clear, where);
	set_propagation(mount, s->propagation, where);
	close(mount);
}
