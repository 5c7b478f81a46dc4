/* memory MIB [RATE]: fills MIB of memory with pages of 4 KiB: 40 % zero pages, 30 % text, 30 % random
 * data. Then creates the file /ready and waits. With RATE there are no zero pages; it then changes
 * RATE MiB per second, and appends the time in nanoseconds to /beat/beat every millisecond. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096 };

int main(int argc, char **argv) {
    size_t size = (size_t)(argc > 1 ? atoi(argv[1]) : 1) << 20;
    uint64_t *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (all == MAP_FAILED) return 1;
    uint64_t random = 88172645463325252u;
    for (size_t page = 0; page < size / PAGE; page++) {
        int kind = argc > 2 ? 4 + page % 2 * 3 : page * 7 % 10;
        for (int i = 0; i < PAGE / 8; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17; /* xorshift64, Marsaglia 2003 */
            uint64_t letters = 0x6161616161616161u + (random & 0x0f0307010f030701u);
            all[page * (PAGE / 8) + i] = kind < 4 ? 0 : kind < 7 ? letters : random;
        }
    }
    int ready = open("/ready", O_WRONLY | O_CREAT, 0644);
    if (ready < 0) return 1;
    close(ready);
    if (argc < 3) {
        for (;;) pause();
    }
    int beat = open("/beat/beat", O_WRONLY | O_CREAT | O_APPEND, 0644);
    size_t changes = (size_t)atoi(argv[2]) * 256, changed = 0;
    for (uint64_t count = 0;; count++) {
        struct timespec time, millisecond = {0, 1000000};
        clock_gettime(CLOCK_REALTIME, &time);
        uint64_t nanoseconds = time.tv_sec * 1000000000ull + time.tv_nsec;
        if (write(beat, &nanoseconds, 8) != 8) return 1;
        for (; changed < count * changes / 1000; changed++) all[changed % (size / PAGE) * (PAGE / 8)] = nanoseconds;
        nanosleep(&millisecond, NULL);
    }
}
