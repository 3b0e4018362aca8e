/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - aetherd's command line. */
#include "base/error.h"
#include "base/socket.h"
#include "broker/broker.h"
#include "broker/config.h"
#include "broker/server.h"
#include "service/log.h"
#include <aether/connect.h>
#include <aether/error.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* Exit codes, listed in aetherd(8). */
enum { EXIT_STOPPED = 0, EXIT_FAILED = 1, EXIT_BAD_USAGE = 2, EXIT_RUNNING = 3 };

static int fault(int status) {
    fprintf(stderr, "aetherd: %s\n", aether_errmsg());
    return status;
}

static void usage(FILE *out) {
    fputs("usage: aetherd [--config FILE] [--socket PATH] [--log-level error|warning|info|debug]\n"
          "       aetherd -h | --help | --version\n"
          "\n"
          "Creates topics for the programs that connect at PATH and hands out their shared memory. Runs in the\n"
          "foreground until SIGTERM or SIGINT. PATH: --socket, else the config file's, else $AETHER_SOCKET, else\n"
          "$XDG_RUNTIME_DIR/aether/aetherd.sock, else /tmp/aether-UID/aetherd.sock.\n"
          "\n"
          "Exit codes: 0 stopped, 1 failed, 2 bad command line or config file, 3 another aetherd runs at PATH.\n",
          out);
}

/* -1: go on; else the status to end with. */
static int read_options(int argc, char **argv, struct ae_config *config) {
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},    {"socket", required_argument, NULL, 's'},
        {"log-level", required_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},         {NULL, 0, NULL, 0},
    };
    const char *file = NULL, *path = NULL, *level = NULL, *word = argv[optind];
    int option;

    opterr = 0;
    for (; (option = getopt_long(argc, argv, "+:h", options, NULL)) != -1; word = argv[optind]) {
        switch (option) {
        case 'c':
            file = optarg;
            break;
        case 's':
            path = optarg;
            break;
        case 'l':
            level = optarg;
            break;
        case 'h':
            usage(stdout);
            return EXIT_STOPPED;
        case 'V':
            printf("aetherd %s\n", aether_version());
            return EXIT_STOPPED;
        default:
            (void)ae_fail(-EINVAL,
                          option == ':' ? "%s needs a value: see aetherd --help"
                                        : "option %s is unknown: see aetherd --help",
                          word);
            return fault(EXIT_BAD_USAGE);
        }
    }
    if (optind < argc) {
        (void)ae_fail(-EINVAL, "unexpected word '%s': see aetherd --help", argv[optind]);
        return fault(EXIT_BAD_USAGE);
    }
    if (file != NULL && ae_config_read(config, file) != 0)
        return fault(EXIT_BAD_USAGE);
    if (level != NULL && ae_log_level_parse(level, &config->log_level) != 0)
        return fault(EXIT_BAD_USAGE);
    if (path != NULL && (path[0] == '\0' || strlen(path) > AE_SOCKET_PATH_MAX)) {
        (void)ae_fail(-EINVAL, "--socket '%s' isn't a path of 1 to %u bytes", path, AE_SOCKET_PATH_MAX);
        return fault(EXIT_BAD_USAGE);
    }
    if (path != NULL)
        memcpy(config->socket_path, path, strlen(path) + 1);
    return -1;
}

/* The default socket's directory is ours alone; one that the user names is the user's business. */
static int default_directory(struct ae_config *config) {
    struct stat st;
    char directory[sizeof config->socket_path];
    int rc = aether_default_socket(config->socket_path, sizeof config->socket_path);

    if (rc != 0)
        return rc;
    const char *named = getenv("AETHER_SOCKET");
    if (named != NULL && named[0] != '\0')
        return 0;
    memcpy(directory, config->socket_path, sizeof directory);
    *strrchr(directory, '/') = '\0';
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return ae_fail(-errno, "directory %s: %s", directory, strerror(errno));
    if (lstat(directory, &st) != 0)
        return ae_fail(-errno, "directory %s: %s", directory, strerror(errno));
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) != 0)
        return ae_fail(-EACCES,
                       "%s must be a directory of uid %u that others can't write to: remove it, or use --socket",
                       directory, (unsigned)geteuid());
    return 0;
}

/* Each client takes two descriptors: its connection, and its process. */
static void raise_fd_limit(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* a lower limit is met with a warning when it is reached */
    }
}

static void on_signal(struct ae_source *source, uint32_t events) {
    (void)events;
    ae_loop_stop(source->loop);
}

static int serve(struct ae_broker *broker) {
    struct ae_source signals = {.fn = on_signal, .events = EPOLLIN};
    struct ae_server *server = NULL;
    struct ae_loop loop;
    sigset_t set;
    int rc;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    if ((rc = ae_loop_open(&loop)) != 0)
        return rc;
    signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if ((rc = ae_source_add(&loop, &signals)) == 0 && (rc = ae_server_open(&server, broker, &loop)) == 0) {
        ae_log_line(AE_LOG_INFO, "listening at %s", broker->instance.socket_path);
        rc = ae_loop_run(&loop);
        ae_server_close(server);
    }
    ae_source_remove(&signals);
    ae_close(&signals.fd);
    ae_loop_close(&loop);
    return rc;
}

int main(int argc, char **argv) {
    struct ae_config config;
    struct ae_instance instance;
    struct ae_broker broker;
    int status, lock, rc;

    ae_config_defaults(&config);
    status = read_options(argc, argv, &config);
    if (status >= 0)
        return status;
    ae_log_set_level(config.log_level);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is a clear error when a topic is created */
    raise_fd_limit();
    if (config.socket_path[0] == '\0' && default_directory(&config) != 0)
        return fault(EXIT_FAILED);
    if (ae_instance_init(&instance, config.socket_path, (uint32_t)geteuid()) != 0)
        return fault(EXIT_FAILED);
    rc = ae_instance_lock(&instance, &lock);
    if (rc != 0)
        return fault(rc == -EBUSY ? EXIT_RUNNING : EXIT_FAILED);
    if (ae_broker_start(&broker, &instance, &config.limits) != 0)
        return fault(EXIT_FAILED);
    rc = serve(&broker);
    status = rc == 0 ? EXIT_STOPPED : fault(EXIT_FAILED);
    ae_broker_stop(&broker);
    ae_log_line(AE_LOG_INFO, "stopped");
    return status; /* the lock goes with the process, after everything else */
}
