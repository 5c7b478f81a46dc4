/* measure RESULT null|pipe|FILE COMMAND [ARG]...
 *
 * Runs COMMAND once, with its output to /dev/null, to a pipe from which another process reads, or to
 * FILE. Writes one line to RESULT: elapsed seconds, seconds of user and system time, peak memory in
 * KiB, bytes written to disk, bytes of output. The time of the reader is not included.
 *
 * A separate small program, because the kernel includes the memory of a process before exec in its
 * peak: an interpreter as parent would hide the peak of smaller programs.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
    perror(what);
    exit(125);
}

static double seconds(struct timeval t) { return t.tv_sec + t.tv_usec / 1e6; }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    int to_pipe = !strcmp(argv[2], "pipe"), fds[2], out;
    long long *count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (count == MAP_FAILED) die("mmap");
    pid_t reader = 0;
    double start = now();
    if (to_pipe) {
        if (pipe2(fds, O_CLOEXEC)) die("pipe");
        reader = fork();
        if (reader < 0) die("fork");
        if (!reader) {
            static char buffer[128 << 10]; /* the size that cat uses */
            close(fds[1]);
            for (ssize_t n; (n = read(fds[0], buffer, sizeof buffer)) > 0;) *count += n;
            _exit(0);
        }
        close(fds[0]);
        out = fds[1];
    } else {
        out = open(strcmp(argv[2], "null") ? argv[2] : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (out < 0) die(argv[2]);
    }
    pid_t child = fork();
    if (child < 0) die("fork");
    if (!child) {
        dup2(out, 1);
        execvp(argv[3], argv + 3);
        die(argv[3]);
    }
    struct stat status;
    struct rusage usage;
    int code;
    if (to_pipe) close(out);
    if (wait4(child, &code, 0, &usage) < 0) die("wait");
    if (to_pipe) waitpid(reader, NULL, 0);
    double wall = now() - start;
    if (!to_pipe && !fstat(out, &status) && S_ISREG(status.st_mode)) *count = status.st_size;
    FILE *result = fopen(argv[1], "w");
    if (!result) die(argv[1]);
    fprintf(result, "%.6f %.6f %ld %lld %lld\n", wall, seconds(usage.ru_utime) + seconds(usage.ru_stime),
            usage.ru_maxrss, usage.ru_oublock * 512LL, *count);
    fclose(result);
    return WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code);
}
