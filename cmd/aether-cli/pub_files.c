/* SPDX-License-Identifier: Apache-2.0 */
/* pub_files.c - reads files into loans, so that their content isn't copied again. */
#include "pub_files.h"
#include "error.h"
#include "input.h"
#include "signals.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES 65536 /* of a file of unknown size, before a loan is taken */

static bool is_stdin(const char *path) {
    return strcmp(path, "-") == 0;
}

static int no_file(const char *path, const char *why) {
    return cli_error(CLI_FAILURE, "--file: can't read '%s': %s", path, why);
}

int pub_files_check(const struct args_list *files, uint64_t *largest) {
    for (size_t i = 0; i < files->count; i++) {
        const char *path = files->items[i];
        struct stat st;
        if ((is_stdin(path) ? fstat(STDIN_FILENO, &st) : stat(path, &st)) != 0)
            return no_file(path, strerror(errno));
        if (S_ISDIR(st.st_mode))
            return no_file(path, "it is a directory");
        if (!is_stdin(path) && access(path, R_OK) != 0)
            return no_file(path, strerror(errno));
        if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > *largest)
            *largest = (uint64_t)st.st_size;
    }
    return CLI_OK;
}

/* Reads len bytes, or to the end of the file. *got: the bytes read. CLI_OK; or a status that ends the command. */
static int read_fully(const char *path, int fd, unsigned char *data, size_t len, size_t *got) {
    size_t n = 1;

    for (*got = 0; *got < len && n > 0; *got += n) {
        const int rc = input_read(fd, data + *got, len - *got, &n);
        if (rc == -EINTR)
            return cli_signal_status();
        if (rc < 0)
            return no_file(path, input_error(rc));
    }
    return CLI_OK;
}

static int file_too_large(struct sender *s, const char *path, uint64_t size) {
    sender_erase_progress(s);
    return cli_error(CLI_TOO_LARGE,
                     "--file '%s' has %" PRIu64 " bytes: topic '%s' takes at most %zu: published %" PRIu64 " before it",
                     path, size, s->topic, aether_publisher_max_message(s->publisher), s->published);
}

static int stream_too_long(struct sender *s, const char *path) {
    sender_erase_progress(s);
    return cli_error(CLI_TOO_LARGE,
                     "--file '%s' is longer than the %zu bytes that topic '%s' takes: published %" PRIu64
                     " before it: --max-message makes a new topic larger",
                     path, aether_publisher_max_message(s->publisher), s->topic, s->published);
}

/*
 * Publishes size bytes of the file, or fewer if it has become shorter. head has the first head_len bytes, which were
 * read before. ends: the size wasn't known, and it is an error if the file doesn't end after size bytes.
 */
static int publish_loan(struct sender *s, const char *path, int fd, const unsigned char *head, size_t head_len,
                        size_t size, bool ends) {
    unsigned char byte;
    aether_loan loan;
    size_t got = 0, more_bytes = 0;

    int status = sender_take_loan(s, size, &loan);
    if (status != CLI_OK)
        return status;
    if (head_len > 0)
        memcpy(loan.data, head, head_len);
    status = read_fully(path, fd, (unsigned char *)loan.data + head_len, size - head_len, &got);
    if (status == CLI_OK && ends && head_len + got == size)
        status = read_fully(path, fd, &byte, 1, &more_bytes);
    if (status == CLI_OK && more_bytes > 0)
        status = stream_too_long(s, path);
    if (status != CLI_OK) {
        (void)aether_loan_discard(s->publisher, &loan);
        return status;
    }
    loan.len = head_len + got;
    return sender_commit_loan(s, &loan);
}

/*
 * Publishes a pipe, a device or a file of /proc, whose size is known only at its end. The first bytes are read before a
 * loan is taken, so that a short file doesn't need room for the longest message.
 */
static int publish_stream(struct sender *s, const char *path, int fd) {
    const size_t limit = aether_publisher_max_message(s->publisher);
    const size_t head_size = limit < READ_BYTES ? limit + 1 : READ_BYTES;
    unsigned char *head = malloc(head_size);
    size_t len = 0;

    if (head == NULL)
        return cli_error(CLI_FAILURE, "out of memory for '%s'", path);
    int status = read_fully(path, fd, head, head_size, &len);
    if (status == CLI_OK && len > limit)
        status = stream_too_long(s, path);
    else if (status == CLI_OK && len < head_size)
        status = sender_publish(s, head, len);
    else if (status == CLI_OK)
        status = publish_loan(s, path, fd, head, len, limit, true);
    free(head);
    return status;
}

static int publish_file(struct sender *s, const char *path) {
    const size_t limit = aether_publisher_max_message(s->publisher);
    /* Non-blocking: if no process writes to a FIFO yet, read_fully() waits instead, and a signal can end that wait. */
    const int fd = is_stdin(path) ? STDIN_FILENO : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    int status;

    if (fd < 0 || fstat(fd, &st) != 0) {
        status = no_file(path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size == 0) {
        status = publish_stream(s, path, fd);
    } else if ((uint64_t)st.st_size > limit) {
        status = file_too_large(s, path, (uint64_t)st.st_size);
    } else {
        status = publish_loan(s, path, fd, NULL, 0, (size_t)st.st_size, false);
    }
    if (fd > STDIN_FILENO)
        (void)close(fd);
    return status;
}

int pub_files(struct sender *s, const struct args_list *files) {
    int status = CLI_OK;

    for (size_t i = 0; i < files->count && status == CLI_OK && sender_has_more(s); i++)
        status = publish_file(s, files->items[i]);
    return status;
}
