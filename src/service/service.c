/* SPDX-License-Identifier: Apache-2.0 */
#include "service/service.h"
#include "base/clock.h"
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
#include <sys/stat.h>
#include <unistd.h>

#define GO_ON (-1)
#define COMMON_KEYS 3
#define LOG_PATH_MAX 4095

/* The state of ae_service_main(), which is too large for the stack. */
struct program {
    const struct ae_service *service;
    struct ae_service_run run;
    unsigned log_level;
    char log_path[LOG_PATH_MAX + 1]; /* "": stderr */
    const char *file;                /* the configuration file; NULL: none */
    void *configured;                /* the values of the settings as they were read before the start */
    struct ae_conf_key keys[AE_CONF_KEYS_MAX];
    const char *given[AE_CONF_KEYS_MAX]; /* the value of each key's option; NULL: it isn't on the command line */
    struct ae_conf conf;
    struct ae_source signals;
    bool logs; /* the log is open */
};

static int fail(const struct program *p, int status) {
    fprintf(stderr, "%s: %s\n", p->service->name, aether_errmsg());
    if (p->log_path[0] != '\0' && p->logs)
        ae_log_line(AE_LOG_ERROR, "%s", aether_errmsg());
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
                                      .help = "Log entries of this level and of the more severe ones.",
                                      .reload = true};
    p->keys[2] = (struct ae_conf_key){.section = service->section,
                                      .name = "log",
                                      .option = "log",
                                      .kind = AE_CONF_PATH,
                                      .target.path = p->log_path,
                                      .max = LOG_PATH_MAX,
                                      .example = service->log_example,
                                      .help = "The file to which the log is appended. SIGUSR1 opens it anew. Default:\n"
                                              "standard error.",
                                      .reload = true};
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

/* The file overrides the defaults, and the command line overrides the file. 0, or -errno with a text. */
static int read_settings(struct program *p) {
    int rc = ae_conf_defaults(&p->conf);

    if (rc == 0 && p->file != NULL)
        rc = ae_conf_read(&p->conf, p->file);
    for (size_t i = 0; i < p->conf.count && rc == 0; i++) {
        if (p->given[i] != NULL)
            rc = ae_conf_option(&p->keys[i], p->given[i]);
    }
    return rc;
}

/* GO_ON, or the status to end with. */
static int use_settings(struct program *p, bool print) {
    if (read_settings(p) != 0 || (p->service->check != NULL && p->service->check() != 0))
        return fail(p, AE_EXIT_USAGE);
    return print ? print_config(p) : GO_ON;
}

/* GO_ON, or the status to end with. */
static int read_words(struct program *p, int argc, char **argv) {
    struct option options[AE_CONF_KEYS_MAX + 5];
    const char *word = argv[optind];
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
            p->file = optarg;
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
    return use_settings(p, print);
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

static void notify(const char *state) {
    if (ae_notify(state) != 0)
        ae_log_line(AE_LOG_WARNING, "%s", aether_errmsg());
}

static void set_log(struct program *p) {
    ae_log_set_level((enum ae_log_level)p->log_level);
    if (ae_log_open(p->log_path) != 0)
        ae_log_line(AE_LOG_WARNING, "%s: the log stays where it is", aether_errmsg());
}

/* Blocked from the first moment on, so that none of them ends the program. signalfd gives them to the loop. */
static sigset_t block_signals(void) {
    sigset_t set;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* so that a call beyond the limit of file sizes returns an error */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return set;
}

/* ---- reading the settings again ---- */

static void needs_restart(const struct ae_conf_key *key) {
    ae_log_line(AE_LOG_WARNING, "[%s] %s has another value in the file now: it needs a restart", key->section,
                key->name);
}

/* Reads the settings again. If there is an error, all of them stay as they are. */
static void read_again(struct program *p) {
    char socket_path[sizeof p->run.socket_path];
    void *in_use = ae_conf_save(&p->conf);
    void *configured = NULL;
    struct stat st;

    memcpy(socket_path, p->run.socket_path, sizeof socket_path);
    if (stat(p->file, &st) == 0 && !S_ISREG(st.st_mode)) {
        /* To open a pipe may take for ever. */
        ae_log_line(AE_LOG_WARNING, "%s isn't a regular file, and isn't read again: the settings stay as they are",
                    p->file);
    } else if (in_use == NULL || p->configured == NULL) {
        ae_log_line(AE_LOG_WARNING, "out of memory to read %s: the settings stay as they are", p->file);
    } else if (read_settings(p) != 0) {
        ae_log_line(AE_LOG_WARNING, "%s: the settings stay as they are", aether_errmsg());
        ae_conf_restore(&p->conf, in_use);
    } else {
        ae_conf_keep(&p->conf, p->configured, needs_restart);
        configured = ae_conf_save(&p->conf);
        /* The start may have put the default path there. */
        memcpy(p->run.socket_path, socket_path, sizeof socket_path);
        set_log(p);
        ae_log_line(AE_LOG_INFO, "settings read again from %s", p->file);
    }
    if (configured != NULL) {
        free(p->configured);
        p->configured = configured;
    }
    free(in_use);
}

static void reload(struct program *p) {
    char state[64];

    (void)snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, ae_now_ns() / 1000);
    notify(state);
    if (p->file != NULL)
        read_again(p);
    else
        ae_log_line(AE_LOG_INFO, "SIGHUP: started without --config, so there are no settings to read again");
    if (p->service->reload != NULL)
        p->service->reload(&p->run);
    notify("READY=1");
}

static void reopen_log(struct program *p) {
    if (p->log_path[0] == '\0') {
        ae_log_line(AE_LOG_INFO, "SIGUSR1: the log goes to standard error, so there is no file to open anew");
        return;
    }
    set_log(p);
    ae_log_line(AE_LOG_INFO, "log file opened anew");
}

static void on_signal(struct ae_source *source, uint32_t events) {
    struct program *p = AE_CONTAINER(source, struct program, signals);
    struct signalfd_siginfo info;

    (void)events;
    if (read(source->fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGHUP)
        reload(p);
    else if (info.ssi_signo == SIGUSR1)
        reopen_log(p);
    else
        ae_loop_stop(source->loop);
}

static int open_signals(struct program *p, const sigset_t *set) {
    p->signals =
        (struct ae_source){.fn = on_signal, .events = EPOLLIN, .fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK)};
    if (p->signals.fd < 0)
        return ae_fail(-errno, "signalfd: %s", strerror(errno));
    return ae_source_add(&p->run.loop, &p->signals);
}

/* ---- running ---- */

/* A server needs descriptors for each of its clients. If this fails, a later call reports the limit. */
static void raise_fd_limit(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
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

/* Opens what the loop needs, and serves. */
static int run_loop(struct program *p, const sigset_t *set) {
    if (ae_log_open(p->log_path) != 0)
        return fail(p, AE_EXIT_FAILED);
    p->logs = true;
    p->configured = ae_conf_save(&p->conf);
    raise_fd_limit();
    if (ae_loop_open(&p->run.loop) != 0)
        return fail(p, AE_EXIT_FAILED);
    const int status = open_signals(p, set) != 0 ? fail(p, AE_EXIT_FAILED) : serve(p);
    ae_source_remove(&p->signals);
    ae_close(&p->signals.fd);
    ae_loop_close(&p->run.loop);
    free(p->configured);
    return status;
}

int ae_service_main(const struct ae_service *service, int argc, char **argv) {
    static struct program program;
    struct program *p = &program;
    const sigset_t set = block_signals();

    p->service = service;
    if (open_standard_descriptors() != 0)
        return fail(p, AE_EXIT_FAILED);
    make_keys(p);
    const int status = read_words(p, argc, argv);
    if (status != GO_ON)
        return status;
    ae_log_set_level((enum ae_log_level)p->log_level);
    return run_loop(p, &set);
}
