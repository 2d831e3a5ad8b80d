#ifndef ARGUMENTS_H
#define ARGUMENTS_H

struct arguments {
	int count;
	char *of[32];
	char text[8192];
};

void leave_server(void);                             /* daemon.go */
void answer_when_cleaned(const struct arguments *a); /* cleaned.go */

#endif
