/* SPDX-License-Identifier: Apache-2.0 */
#include "service/service.h"
#include "base/error.h"
#include "service/log.h"
#include "service/notify.h"
#include <aether/error.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define GO_ON (-1)
#define COMMON_KEYS 2

/* The state of ae_service_main(), which is too large for the stack. */
struct program {
    const struct ae_service *service;
    struct ae_service_run run;
    unsigned log_level;
    struct ae_conf_key keys[AE_CONF_KEYS_MAX];
    const char *given[AE_CONF_KEYS_MAX]; /* the value of each key's option; NULL: it isn't on the command line */
    struct ae_conf conf;
    struct ae_source signals;
};

static int fail(const struct program *p, int status) {
    fprintf(stderr, "%s: %s\n", p->service->name, aether_errmsg());
    return status;
}

/* After output on stdout: the status to end with. What can't be written isn't done. */
static int written(const struct program *p) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return AE_EXIT_STOPPED;
    (void)ae_fail(-errno, "can't write the output: %s", strerror(errno));
    return fail(p, AE_EXIT_FAILED);
}

/* ---- settings ---- */

static void make_keys(struct program *p) {
    const struct ae_service *service = p->service;

    p->keys[0] = (struct ae_conf_key){.section = service->section,
                                      .name = "socket",
                                      .option = "socket",
                                      .kind = AE_CONF_PATH,
                                      .target.path = p->run.socket_path,
                                      .max = AE_SOCKET_PATH_MAX,
                                      .example = service->socket_example,
                                      .help = service->socket_help};
    p->keys[1] = (struct ae_conf_key){.section = service->section,
                                      .name = "log_level",
                                      .option = "log-level",
                                      .kind = AE_CONF_WORD,
                                      .target.word = &p->log_level,
                                      .words = ae_log_levels,
                                      .value = "info",
                                      .help = "Log entries of this level and of the more severe ones."};
    memcpy(p->keys + COMMON_KEYS, service->keys, service->key_count * sizeof *service->keys);
    p->conf = (struct ae_conf){.keys = p->keys, .count = COMMON_KEYS + service->key_count};
}

static void usage(const struct program *p, FILE *out) {
    const char *name = p->service->name;
    char words[128];

    (void)fprintf(out, "usage: %s [--config FILE]", name);
    for (size_t i = 0; i < p->conf.count; i++) {
        const struct ae_conf_key *key = &p->keys[i];
        if (key->option == NULL)
            continue;
        if (key->kind == AE_CONF_WORD)
            ae_conf_join_words(key->words, "|", "|", words, sizeof words);
        (void)fprintf(out, " [--%s %s]", key->option,
                      key->kind == AE_CONF_WORD   ? words
                      : key->kind == AE_CONF_PATH ? "PATH"
                      : key->kind == AE_CONF_TEXT ? key->what
                      : key->kind == AE_CONF_SIZE ? "SIZE"
                                                  : "NUMBER");
    }
    (void)fprintf(out, "\n       %*s [--print-config]\n       %s -h | --help | --version\n\n%s\n", (int)strlen(name),
                  "", name, p->service->summary);
    (void)fprintf(out, "Exit codes: 0 stopped, 1 failed, 2 bad command line or config file%s%s.\n",
                  p->service->running != NULL ? ", 3 " : "", p->service->running != NULL ? p->service->running : "");
}

static int print_config(const struct program *p) {
    const char *name = p->service->name;

    printf("# %s.conf - settings of %s(8). Every setting is optional; those behind # have their default.\n"
           "# Use it with: %s --config FILE. Options on the command line override it.\n",
           name, name, name);
    if (ae_conf_print(&p->conf, stdout) != 0)
        return fail(p, AE_EXIT_USAGE);
    return written(p);
}

/* ---- the command line ---- */

enum { OPTION_CONFIG = 'c', OPTION_HELP = 'h', OPTION_PRINT = 'p', OPTION_VERSION = 'V', OPTION_KEYS = 256 };

static void make_options(const struct program *p, struct option options[AE_CONF_KEYS_MAX + 5]) {
    size_t count = 0;

    options[count++] = (struct option){"config", required_argument, NULL, OPTION_CONFIG};
    options[count++] = (struct option){"help", no_argument, NULL, OPTION_HELP};
    options[count++] = (struct option){"print-config", no_argument, NULL, OPTION_PRINT};
    options[count++] = (struct option){"version", no_argument, NULL, OPTION_VERSION};
    for (size_t i = 0; i < p->conf.count; i++) {
        if (p->keys[i].option != NULL)
            options[count++] = (struct option){p->keys[i].option, required_argument, NULL, OPTION_KEYS + (int)i};
    }
    options[count] = (struct option){0};
}

/* The file overrides the defaults, and the command line overrides the file. GO_ON, or the status to end with. */
static int read_settings(struct program *p, const char *file, bool print) {
    if (ae_conf_defaults(&p->conf) != 0 || (file != NULL && ae_conf_read(&p->conf, file) != 0))
        return fail(p, AE_EXIT_USAGE);
    for (size_t i = 0; i < p->conf.count; i++) {
        if (p->given[i] != NULL && ae_conf_option(&p->keys[i], p->given[i]) != 0)
            return fail(p, AE_EXIT_USAGE);
    }
    if (p->service->check != NULL && p->service->check() != 0)
        return fail(p, AE_EXIT_USAGE);
    return print ? print_config(p) : GO_ON;
}

/* GO_ON, or the status to end with. */
static int read_words(struct program *p, int argc, char **argv) {
    struct option options[AE_CONF_KEYS_MAX + 5];
    const char *file = NULL, *word = argv[optind];
    bool print = false;
    int option;

    make_options(p, options);
    opterr = 0;
    for (; (option = getopt_long(argc, argv, "+:h", options, NULL)) != -1; word = argv[optind]) {
        if (option >= OPTION_KEYS) {
            p->given[option - OPTION_KEYS] = optarg;
            continue;
        }
        switch (option) {
        case OPTION_CONFIG:
            file = optarg;
            break;
        case OPTION_PRINT:
            print = true;
            break;
        case OPTION_HELP:
            usage(p, stdout);
            return written(p);
        case OPTION_VERSION:
            printf("%s %s\n", p->service->name, aether_version());
            return written(p);
        default:
            (void)ae_fail(-EINVAL,
                          option == ':' ? "%s needs a value: see %s --help" : "option %s is unknown: see %s --help",
                          word, p->service->name);
            return fail(p, AE_EXIT_USAGE);
        }
    }
    if (optind < argc) {
        (void)ae_fail(-EINVAL, "unexpected word '%s': see %s --help", argv[optind], p->service->name);
        return fail(p, AE_EXIT_USAGE);
    }
    return read_settings(p, file, print);
}

/* ---- the process ---- */

/* Opens /dev/null for each closed descriptor from 0 to 2. Otherwise a file could get number 2, and the log with it. */
static int open_standard_descriptors(void) {
    int fd = STDIN_FILENO;

    while (fd <= STDERR_FILENO) {
        if (fcntl(fd, F_GETFD) >= 0)
            fd++;
        else if (open("/dev/null", O_RDWR) != fd)
            return ae_fail(-errno, "/dev/null in place of the closed descriptor %d: %s", fd, strerror(errno));
    }
    return 0;
}

static void on_signal(struct ae_source *source, uint32_t events) {
    struct signalfd_siginfo info;

    (void)events;
    if (read(source->fd, &info, sizeof info) == (ssize_t)sizeof info)
        ae_loop_stop(source->loop);
}

static int open_signals(struct program *p) {
    sigset_t set;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* so that a call beyond the limit of file sizes returns an error */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    p->signals =
        (struct ae_source){.fn = on_signal, .events = EPOLLIN, .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    if (p->signals.fd < 0)
        return ae_fail(-errno, "signalfd: %s", strerror(errno));
    return ae_source_add(&p->run.loop, &p->signals);
}

/* A server needs descriptors for each of its clients. If this fails, a later call reports the limit. */
static void raise_fd_limit(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void notify(const char *state) {
    if (ae_notify(state) != 0)
        ae_log_line(AE_LOG_WARNING, "%s", aether_errmsg());
}

static int serve(struct program *p) {
    struct ae_service_run *run = &p->run;
    int status = AE_EXIT_STOPPED;
    const int rc = p->service->start(run);

    if (rc != 0) {
        status = fail(p, rc == -EALREADY ? AE_EXIT_RUNNING : AE_EXIT_FAILED);
        p->service->stop(run);
        return status;
    }
    ae_log_line(AE_LOG_INFO, "%s", run->ready);
    notify("READY=1");
    if (ae_loop_run(&run->loop) != 0)
        status = fail(p, AE_EXIT_FAILED);
    notify("STOPPING=1");
    p->service->stop(run);
    ae_log_line(AE_LOG_INFO, "stopped");
    return status;
}

int ae_service_main(const struct ae_service *service, int argc, char **argv) {
    static struct program program;
    struct program *p = &program;
    int status;

    p->service = service;
    if (open_standard_descriptors() != 0)
        return fail(p, AE_EXIT_FAILED);
    make_keys(p);
    status = read_words(p, argc, argv);
    if (status != GO_ON)
        return status;
    ae_log_set_level((enum ae_log_level)p->log_level);
    raise_fd_limit();
    if (ae_loop_open(&p->run.loop) != 0)
        return fail(p, AE_EXIT_FAILED);
    status = open_signals(p) != 0 ? fail(p, AE_EXIT_FAILED) : serve(p);
    ae_source_remove(&p->signals);
    ae_close(&p->signals.fd);
    ae_loop_close(&p->run.loop);
    return status;
}
