/* Why execve(2) failed, and what helps: its errno alone says "no such file" of a program that is there. */
#include "stage.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE EM_X86_64
#elif defined(__aarch64__)
#define NATIVE EM_AARCH64
#elif defined(__riscv)
#define NATIVE EM_RISCV
#elif defined(__s390x__)
#define NATIVE EM_S390
#else
#define NATIVE EM_NONE
#endif

#define MAX_INTERPRETERS 4 /* as the kernel has it */

static char said[ZB_DETAIL_SIZE];
static size_t said_length;

static void say_piece(const char *piece)
{
	size_t n = strlen(piece);
	if (n > sizeof(said) - 1 - said_length)
		n = sizeof(said) - 1 - said_length;
	memcpy(said + said_length, piece, n);
	said_length += n;
	said[said_length] = 0;
}

static void say_pieces(const char *const *pieces)
{
	for (; *pieces; pieces++)
		say_piece(*pieces);
}

#define say(...) say_pieces((const char *const[]){__VA_ARGS__, NULL})

static const char *machine_name(unsigned machine)
{
	switch (machine) {
	case EM_X86_64:
		return "x86_64";
	case EM_386:
		return "i386";
	case EM_AARCH64:
		return "aarch64";
	case EM_ARM:
		return "arm";
	case EM_RISCV:
		return "riscv";
	case EM_S390:
		return "s390x";
	case EM_PPC64:
		return "ppc64";
	default:
		return decimal(machine);
	}
}

static const char *octal(unsigned mode)
{
	static char text[5];
	for (int i = 3; i >= 0; i--, mode >>= 3)
		text[i] = (char)('0' + (mode & 7));
	return text;
}

/* Why a file may not be executed; "" when that is not to be seen. */
static void why_no_access(const char *path)
{
	struct statvfs fs;
	struct stat st;
	if (stat(path, &st) < 0)
		return;
	if (S_ISDIR(st.st_mode))
		say(" is a directory");
	else if (!S_ISREG(st.st_mode))
		say(" is no regular file");
	else if (statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOEXEC))
		say(" is on a filesystem mounted noexec (mount it with exec, or have the program elsewhere)");
	else if (!(st.st_mode & 0111))
		say(" is not executable, mode ", octal(st.st_mode), " (chmod +x)");
	else if (sys_access_exec(path) < 0 && errno == EACCES)
		say(" is not executable for this user, mode ", octal(st.st_mode));
}

static void why_no_exec(int error, const char *path, int depth);

static void why_script(int error, char *head, int depth)
{
	char *line = head + 2 + strspn(head + 2, " \t");
	size_t n = strcspn(line, " \t\n");
	if (n == 0) {
		say(": #! without an interpreter");
		return;
	}
	bool crlf = line[n - 1] == '\r';
	line[crlf ? n - 1 : n] = 0;
	if (crlf) {
		say(": its first line ends with CR LF, so the interpreter is not found: \"", line,
			"\\r\" (convert it with dos2unix)");
		return;
	}
	if (access(line, F_OK) < 0) {
		say(": interpreter not found: \"", line, "\" (install it in the root filesystem)");
		return;
	}
	say(": its interpreter \"", line, "\"");
	if (depth < MAX_INTERPRETERS)
		why_no_exec(error, line, depth + 1);
}

static void why_linker(int fd, const Elf64_Ehdr *elf)
{
	char name[256];
	for (int i = 0; i < elf->e_phnum && i < 64; i++) {
		Elf64_Phdr segment;
		off_t at = (off_t)elf->e_phoff + (off_t)i * (off_t)sizeof(segment);
		if (pread(fd, &segment, sizeof(segment), at) != sizeof(segment))
			return;
		if (segment.p_type != PT_INTERP || segment.p_filesz >= sizeof(name))
			continue;
		if (pread(fd, name, segment.p_filesz, (off_t)segment.p_offset) != (ssize_t)segment.p_filesz)
			return;
		name[segment.p_filesz] = 0;
		if (access(name, F_OK) < 0) {
			say(": dynamic linker not found: \"", name,
				"\" (install the C library that it was built for, or build it statically)");
		} else if (sys_access_exec(name) < 0) {
			say(": its dynamic linker \"", name, "\"");
			why_no_access(name);
		}
	}
}

static void why_elf(int error, int fd, const char *head, size_t size)
{
	Elf64_Ehdr elf;
	if (size < sizeof(elf)) {
		say(": damaged: an ELF file that ends in its header");
		return;
	}
	memcpy(&elf, head, sizeof(elf));
	if (NATIVE != EM_NONE && elf.e_machine != NATIVE && (error == ENOEXEC || error == EINVAL)) {
		say(": built for another processor, ", machine_name(elf.e_machine));
		say(", and this is ", machine_name(NATIVE),
			" (take the build for it, or register an emulator with binfmt_misc)");
		return;
	}
	if (elf.e_ident[EI_CLASS] == ELFCLASS64 && elf.e_phentsize == sizeof(Elf64_Phdr))
		why_linker(fd, &elf);
	if (error == ENOEXEC && (elf.e_type != ET_EXEC && elf.e_type != ET_DYN))
		say(": an ELF file, but no program");
}

static bool is_text(const char *head, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)head[i] < ' ' && !strchr("\t\n\r\f", head[i]))
			return false;
	return true;
}

static void why_no_exec(int error, const char *path, int depth)
{
	char head[256];
	size_t before = said_length;
	if (error == EACCES)
		why_no_access(path);
	if (said_length > before)
		return;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head) - 1);
	if (n >= 0)
		head[n] = 0;
	if (n >= 2 && head[0] == '#' && head[1] == '!')
		why_script(error, head, depth);
	else if (n >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0)
		why_elf(error, fd, head, (size_t)n);
	else if (n == 0 && error == ENOEXEC)
		say(": an empty file");
	else if (n > 0 && error == ENOEXEC && is_text(head, (size_t)n))
		say(": neither a program nor a script: a text without a first line such as #!/bin/sh");
	else if (n > 0 && error == ENOEXEC)
		say(": neither a program nor a script that this kernel knows");
	if (fd >= 0)
		close(fd);
}

/* The file in quotes, and what is wrong with it as far as that can be seen. */
const char *why_exec(int error, const char *path)
{
	said_length = 0;
	say("\"", path, "\"");
	why_no_exec(error, path, 0);
	return said;
}
