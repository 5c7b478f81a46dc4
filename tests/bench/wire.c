/* wire RATE: copies standard input to standard output, at most RATE MiB per second, like a slow
 * network. Prints the number of bytes to standard error. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    static char buffer[64 << 10];
    double rate = (argc > 1 ? atof(argv[1]) : 119) * (1 << 20), free_at = now();
    unsigned long long total = 0;
    ssize_t got;
    while ((got = read(0, buffer, sizeof buffer)) > 0) {
        /* Time in which nothing was sent is lost, as on a network. */
        double at = now();
        if (free_at < at) free_at = at;
        free_at += got / rate;
        if (free_at - at > 0.002) usleep((free_at - at) * 1e6);
        for (ssize_t done = 0; done < got;) {
            ssize_t put = write(1, buffer + done, got - done);
            if (put < 0) return 1;
            done += put;
        }
        total += got;
    }
    fprintf(stderr, "%llu\n", total);
    return got < 0;
}
