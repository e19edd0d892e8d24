/*
 * Locks parts of a file as it is told on standard input, and says what came of it.
 *
 *     try r 0 10      a lock for reading on 10 bytes; `granted` or `denied`
 *     wait w 5 0      the same to the end of the file, and wait for it; `granted`, or the error
 *     test w 0 1      `free`, or whose lock is in the way: `held w 5 0`
 *     unlock 0 3
 *     hold PATH       go on when PATH is there
 *     say WORD
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int file;

static void lock(const char *verb, char kind, long long begin, long long length)
{
    struct flock wanted = {.l_whence = SEEK_SET, .l_start = begin, .l_len = length};
    int command = F_SETLK;

    wanted.l_type = kind == 'w' ? F_WRLCK : kind == 'r' ? F_RDLCK : F_UNLCK;
    if (!strcmp(verb, "wait"))
        command = F_SETLKW;
    if (!strcmp(verb, "test"))
        command = F_GETLK;
    if (fcntl(file, command, &wanted) < 0)
        printf("%s\n", errno == EAGAIN || errno == EACCES ? "denied" : strerror(errno));
    else if (command != F_GETLK)
        printf("granted\n");
    else if (wanted.l_type == F_UNLCK)
        printf("free\n");
    else
        printf("held %c %lld %lld\n", wanted.l_type == F_WRLCK ? 'w' : 'r',
               (long long)wanted.l_start, (long long)wanted.l_len);
}

int main(int count, char **words)
{
    char line[4096], verb[16], rest[4000], kind;
    long long begin, length;

    if (count != 2 || (file = open(words[1], O_RDWR)) < 0) {
        perror("locker");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "unlock %lld %lld", &begin, &length) == 2)
            lock("unlock", 'u', begin, length);
        else if (sscanf(line, "%15s %c %lld %lld", verb, &kind, &begin, &length) == 4)
            lock(verb, kind, begin, length);
        else if (sscanf(line, "hold %3999s", rest) == 1)
            while (access(rest, F_OK) < 0)
                usleep(20000);
        else if (sscanf(line, "say %3999s", rest) == 1)
            printf("%s\n", rest);
    }
    return 0;
}
