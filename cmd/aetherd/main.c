/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - aetherd's command line. */
#include "base/error.h"
#include "base/socket.h"
#include "broker/broker.h"
#include "broker/server.h"
#include "service/conf.h"
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

enum { KEY_SOCKET, KEY_LOG_LEVEL };

static char socket_path[108]; /* "": the default */
static unsigned log_level;
static struct ae_limits limits;

static const struct ae_conf_key keys[] = {
    [KEY_SOCKET] = {.section = "daemon",
                    .name = "socket",
                    .option = "socket",
                    .kind = AE_CONF_PATH,
                    .target.path = socket_path,
                    .max = AE_SOCKET_PATH_MAX},
    [KEY_LOG_LEVEL] = {.section = "daemon",
                       .name = "log_level",
                       .option = "log-level",
                       .kind = AE_CONF_WORD,
                       .target.word = &log_level,
                       .words = ae_log_levels,
                       .value = "info"},
    {.section = "limits",
     .name = "topics",
     .kind = AE_CONF_U32,
     .target.u32 = &limits.topics,
     .min = 1,
     .max = AE_REGISTRY_TOPICS_LIMIT,
     .value = "1024"},
    {.section = "limits",
     .name = "clients",
     .kind = AE_CONF_U32,
     .target.u32 = &limits.clients,
     .min = 1,
     .max = AE_REGISTRY_CLIENTS_LIMIT,
     .value = "1024"},
    {.section = "limits",
     .name = "grants",
     .kind = AE_CONF_U32,
     .target.u32 = &limits.grants,
     .min = 1,
     .max = AE_REGISTRY_GRANTS_LIMIT,
     .value = "8192"},
    {.section = "limits",
     .name = "ring_bytes",
     .kind = AE_CONF_U64,
     .target.u64 = &limits.ring_bytes,
     .min = 65536,
     .max = 1ull << 44,
     .value = "1073741824"},
};

static const struct ae_conf conf = {.keys = keys, .count = sizeof keys / sizeof keys[0]};

/* -1: go on; else the status to end with. */
static int read_options(int argc, char **argv) {
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
    if (ae_conf_defaults(&conf) != 0 || (file != NULL && ae_conf_read(&conf, file) != 0) ||
        (level != NULL && ae_conf_option(&keys[KEY_LOG_LEVEL], level) != 0) ||
        (path != NULL && ae_conf_option(&keys[KEY_SOCKET], path) != 0))
        return fault(EXIT_BAD_USAGE);
    return -1;
}

/* The default socket's directory is ours alone; one that the user names is the user's business. */
static int default_directory(void) {
    struct stat st;
    char directory[sizeof socket_path];
    int rc = aether_default_socket(socket_path, sizeof socket_path);

    if (rc != 0)
        return rc;
    const char *named = getenv("AETHER_SOCKET");
    if (named != NULL && named[0] != '\0')
        return 0;
    memcpy(directory, socket_path, sizeof directory);
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
    struct ae_instance instance;
    struct ae_broker broker;
    int status, lock, rc;

    status = read_options(argc, argv);
    if (status >= 0)
        return status;
    ae_log_set_level((enum ae_log_level)log_level);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is a clear error when a topic is created */
    raise_fd_limit();
    if (socket_path[0] == '\0' && default_directory() != 0)
        return fault(EXIT_FAILED);
    if (ae_instance_init(&instance, socket_path, (uint32_t)geteuid()) != 0)
        return fault(EXIT_FAILED);
    rc = ae_instance_lock(&instance, &lock);
    if (rc != 0)
        return fault(rc == -EBUSY ? EXIT_RUNNING : EXIT_FAILED);
    if (ae_broker_start(&broker, &instance, &limits) != 0)
        return fault(EXIT_FAILED);
    rc = serve(&broker);
    status = rc == 0 ? EXIT_STOPPED : fault(EXIT_FAILED);
    ae_broker_stop(&broker);
    ae_log_line(AE_LOG_INFO, "stopped");
    return status; /* the lock goes with the process, after everything else */
}
