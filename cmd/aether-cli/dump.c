/* SPDX-License-Identifier: Apache-2.0 */
/* dump.c - writes each message to a hidden file and then renames the file. */
#include "dump.h"
#include "error.h"
#include "output.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_SIZE 24

int dump_open(struct dump *dump) {
    dump->fd = -1;
    if (dump->directory == NULL)
        return CLI_OK;
    if (mkdir(dump->directory, 0777) != 0 && errno != EEXIST)
        return cli_error(CLI_FAILURE, "--dump: can't make the directory '%s': %s", dump->directory, strerror(errno));
    dump->fd = open(dump->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dump->fd < 0)
        return cli_error(CLI_FAILURE, "--dump: can't use '%s': %s: name a directory", dump->directory, strerror(errno));
    return CLI_OK;
}

void dump_close(struct dump *dump) {
    if (dump->fd >= 0)
        (void)close(dump->fd);
}

/* Renames the file, but never replaces a file. File systems without RENAME_NOREPLACE (NFS) need a link. */
static int rename_new(int directory, const char *from, const char *to) {
    if (renameat2(directory, from, directory, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (linkat(directory, from, directory, to, 0) != 0)
        return -1;
    (void)unlinkat(directory, from, 0);
    return 0;
}

int dump_message(const struct dump *dump, const aether_message *m, char path[DUMP_PATH_SIZE]) {
    char name[NAME_SIZE], temporary[NAME_SIZE + 32];
    int status = CLI_OK;

    (void)snprintf(name, sizeof name, "%020" PRIu64, m->seq);
    (void)snprintf(path, DUMP_PATH_SIZE, "%s/%s", dump->directory, name);
    (void)snprintf(temporary, sizeof temporary, ".%s.%ld.part", name, (long)getpid());
    const int fd = openat(dump->fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return cli_error(CLI_FAILURE, "can't make '%s/%s': %s", dump->directory, temporary, strerror(errno));
    const int rc = out_write_all(fd, m->data, m->len);
    bool done = rc == 0;
    if (!done)
        status = cli_error(CLI_FAILURE, "can't write '%s/%s': %s", dump->directory, temporary, strerror(-rc));
    if (close(fd) != 0 && done) { /* some file systems report a full quota only here */
        status = cli_error(CLI_FAILURE, "can't write '%s/%s': %s", dump->directory, temporary, strerror(errno));
        done = false;
    }
    if (done && rename_new(dump->fd, temporary, name) != 0) {
        status = errno == EEXIST
                     ? cli_error(CLI_FAILURE, "'%s/%s' is there already and is kept: use an empty directory",
                                 dump->directory, name)
                     : cli_error(CLI_FAILURE, "can't name '%s/%s': %s", dump->directory, name, strerror(errno));
        done = false;
    }
    if (!done)
        (void)unlinkat(dump->fd, temporary, 0);
    return status;
}
