/* Why execve(2) failed: its errno alone says "no such file" of a program that is there. */
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

static char head[256], name[256];

static void explain_script(int error, const char *path)
{
	char *line = head + 2 + strspn(head + 2, " \t");
	size_t n = strcspn(line, " \t\n");
	if (n == 0)
		fail(error, "\"", path, "\": #! without an interpreter");
	bool crlf = line[n - 1] == '\r';
	line[crlf ? n - 1 : n] = 0;
	if (crlf)
		fail(error, "\"", path, "\": its first line ends with CR LF, so the interpreter is not found: \"", line,
			"\\r\"");
	if (access(line, F_OK) < 0)
		fail(error, "\"", path, "\": interpreter not found: \"", line, "\"");
	if (access(line, X_OK) < 0)
		fail(error, "\"", path, "\": interpreter not executable: \"", line, "\"");
}

static void explain_interpreter(int error, const char *path, int fd, const Elf64_Ehdr *elf)
{
	for (int i = 0; i < elf->e_phnum && i < 64; i++) {
		Elf64_Phdr segment;
		off_t at = (off_t)elf->e_phoff + (off_t)i * (off_t)sizeof(segment);
		if (pread(fd, &segment, sizeof(segment), at) != sizeof(segment))
			return;
		if (segment.p_type != PT_INTERP || segment.p_filesz >= sizeof(name))
			continue;
		if (pread(fd, name, segment.p_filesz, (off_t)segment.p_offset) != (ssize_t)segment.p_filesz)
			return;
		if (access(name, F_OK) < 0)
			fail(error, "\"", path, "\": dynamic linker not found: \"", name, "\"");
	}
}

static void explain_elf(int error, const char *path, int fd, size_t size)
{
	Elf64_Ehdr elf;
	if (size < sizeof(elf))
		return;
	memcpy(&elf, head, sizeof(elf));
	if (NATIVE != EM_NONE && elf.e_machine != NATIVE && (error == ENOEXEC || error == EINVAL))
		fail(error, "\"", path, "\": built for another processor (ELF machine ", decimal(elf.e_machine), ")");
	if (elf.e_ident[EI_CLASS] == ELFCLASS64 && elf.e_phentsize == sizeof(Elf64_Phdr))
		explain_interpreter(error, path, fd, &elf);
}

_Noreturn void explain_exec(int error, const char *path)
{
	struct statvfs fs;
	if (error == EACCES && statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOEXEC))
		fail(error, "\"", path, "\": on a filesystem mounted noexec");
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head) - 1);
	if (n >= 2 && head[0] == '#' && head[1] == '!')
		explain_script(error, path);
	else if (n >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0)
		explain_elf(error, path, fd, (size_t)n);
	else if (n >= 0 && error == ENOEXEC)
		fail(error, "\"", path, "\": neither a program nor a script");
	fail(error, "\"", path, "\"");
}
