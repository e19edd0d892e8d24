/* Makes accept4(2) fail once with the errno in the file $ACCEPT_ERROR; preloaded into the server. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	static int (*real)(int, struct sockaddr *, socklen_t *, int);
	const char *path = getenv("ACCEPT_ERROR");
	FILE *file = path ? fopen(path, "r") : NULL;
	int error = 0;

	if (!real)
		real = (int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(RTLD_NEXT, "accept4");
	if (file) {
		if (fscanf(file, "%d", &error) != 1)
			error = 0;
		fclose(file);
		unlink(path);
	}
	if (error) {
		errno = error;
		return -1;
	}
	return real(fd, address, size, flags);
}
