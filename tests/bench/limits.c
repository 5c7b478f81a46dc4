/* limits OP PATH...: does the minimum of work for a job. The benchmarks compare the tools with it.
 *
 *   tar DIR                  walks DIR, and for each file: open, stat, list xattrs, read into a
 *                            buffer of 1 MiB after 512 bytes for a header
 *   splice FILE...           writes files to a pipe with splice(2)
 *   sendfile FILE...         writes files to a pipe with sendfile(2)
 *   copy FILE...             copies files with copy_file_range(2)
 *   sparse FROM TO           copies a file without its holes and zero pages
 *   create DIR N DIRS SIZE   creates N files in DIRS directories, and sets mode and times of each
 *   two DIR DIR              walks both directories with getdents(2) and stat(2)
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { BATCH = 1 << 20, PAGE = 4096 };
static char *batch;
static size_t used;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void flush(void) {
    for (size_t done = 0; done < used;) {
        ssize_t n = write(1, batch + done, used - done);
        if (n < 0) die("write");
        done += n;
    }
    used = 0;
}

static void walk(int dir, int content) {
    char *list = malloc(1 << 16);
    for (long n; (n = syscall(SYS_getdents64, dir, list, 1 << 16)) > 0;)
        for (long at = 0; at < n;) {
            struct dirent64 *entry = (void *)(list + at);
            struct stat status;
            char names[256];
            at += entry->d_reclen;
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
            int is_dir = entry->d_type == DT_DIR, is_file = entry->d_type == DT_REG;
            if (!content && fstatat(dir, entry->d_name, &status, AT_SYMLINK_NOFOLLOW)) die(entry->d_name);
            if (used + 2 * PAGE > BATCH) flush();
            memset(batch + used, 0, 512);
            used += content ? 512 : 0;
            if (!is_dir && !(is_file && content)) continue;
            int fd = openat(dir, entry->d_name, O_RDONLY | O_NOFOLLOW | (is_dir ? O_DIRECTORY : 0));
            if (fd < 0) die(entry->d_name);
            if (content && (fstat(fd, &status) || flistxattr(fd, names, sizeof names) < 0)) die(entry->d_name);
            if (is_dir)
                walk(fd, content);
            else
                for (ssize_t got; (got = read(fd, batch + used, BATCH - used)) > 0; used += got)
                    if (used + got == BATCH) used += got, flush(), got = 0;
            if (used % 512) memset(batch + used, 0, 512 - used % 512), used += 512 - used % 512;
            close(fd);
        }
    free(list);
}

static void create(const char *path, int files, int dirs, int size) {
    struct timespec times[2] = {{0, UTIME_OMIT}, {1000000000, 0}};
    char name[32];
    int root = open(path, O_RDONLY | O_DIRECTORY);
    if (root < 0) die(path);
    for (int d = 0; d < dirs; d++) {
        sprintf(name, "d%d", d);
        int dir = mkdirat(root, name, 0755) ? -1 : openat(root, name, O_RDONLY | O_DIRECTORY);
        if (dir < 0) die(name);
        for (int f = 0; f < files / dirs; f++) {
            sprintf(name, "file_%06d.dat", f);
            int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
            if (fd < 0 || write(fd, batch, size) != size || futimens(fd, times)) die(name);
            close(fd);
        }
        close(dir);
    }
}

/* Copies the data of a file, without zero pages. */
static void sparse(const char *from, const char *to) {
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    off_t at = 0;
    if (in < 0 || out < 0) die(from);
    for (ssize_t n; (n = read(in, batch, BATCH)) > 0; at += n)
        for (ssize_t start = 0, end; start < n; start = end) {
            int zero = !batch[start] && !memcmp(batch + start, batch + start + 1, PAGE - 1);
            for (end = start + PAGE; end < n && (!batch[end] && !memcmp(batch + end, batch + end + 1, PAGE - 1)) == zero;)
                end += PAGE;
            if (!zero && pwrite(out, batch + start, end - start, at + start) < 0) die(to);
        }
    if (ftruncate(out, at)) die(to);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const char *op = argv[1];
    batch = aligned_alloc(PAGE, BATCH + PAGE);
    memset(batch, 0, BATCH + PAGE);
    fcntl(1, F_SETPIPE_SZ, BATCH);
    if (!strcmp(op, "tar") || !strcmp(op, "two")) {
        for (int i = 2; i < argc; i++) {
            int dir = open(argv[i], O_RDONLY | O_DIRECTORY);
            if (dir < 0) die(argv[i]);
            walk(dir, !strcmp(op, "tar"));
        }
        flush();
    } else if (!strcmp(op, "create") && argc == 6) {
        create(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
    } else if (!strcmp(op, "sparse") && argc == 4) {
        sparse(argv[2], argv[3]);
    } else {
        for (int i = 2; i < argc; i++) {
            int fd = open(argv[i], O_RDONLY);
            if (fd < 0) die(argv[i]);
            ssize_t n = 1;
            while (n > 0)
                n = !strcmp(op, "splice")     ? splice(fd, NULL, 1, NULL, BATCH, 0)
                    : !strcmp(op, "sendfile") ? sendfile(1, fd, NULL, 1 << 30)
                    : !strcmp(op, "copy")     ? copy_file_range(fd, NULL, 1, NULL, 1 << 30, 0)
                                              : -1;
            if (n < 0) die(op);
            close(fd);
        }
    }
}
