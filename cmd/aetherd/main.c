/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - aetherd: the service of a broker and its server. */
#include "base/error.h"
#include "broker/broker.h"
#include "broker/server.h"
#include "service/activation.h"
#include "service/service.h"
#include <aether/connect.h>
#include <aether/error.h>
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct ae_limits limits;

static const struct ae_conf_key keys[] = {
    {.section = "limits",
     .name = "topics",
     .kind = AE_CONF_U32,
     .target.u32 = &limits.topics,
     .min = 1,
     .max = AE_REGISTRY_TOPICS_LIMIT,
     .value = "1024",
     .help = "Most topics at a time. Each takes 1 KiB of the registry."},
    {.section = "limits",
     .name = "clients",
     .kind = AE_CONF_U32,
     .target.u32 = &limits.clients,
     .min = 1,
     .max = AE_REGISTRY_CLIENTS_LIMIT,
     .value = "1024",
     .help = "Most clients at a time. Each takes two file descriptors of aetherd."},
    {.section = "limits",
     .name = "grants",
     .kind = AE_CONF_U32,
     .target.u32 = &limits.grants,
     .min = 1,
     .max = AE_REGISTRY_GRANTS_LIMIT,
     .value = "8192",
     .help = "Most open publishers and subscribers at a time, in all topics."},
    {.section = "limits",
     .name = "ring_bytes",
     .kind = AE_CONF_SIZE,
     .target.u64 = &limits.ring_bytes,
     .min = 65536,
     .max = 1ull << 44,
     .value = "1G",
     .help = "Most memory of one topic: its ring and one publisher's lane.",
     .reload = true},
};

static struct ae_instance instance;
static struct ae_broker broker;
static struct ae_server *server;
static int lock = -1, guard = -1; /* held until the process ends */
static bool broker_started;

/* Finds the default socket. Creates its directory, which must be private, unless $AETHER_SOCKET names the socket. */
static int default_socket(char *path, size_t size) {
    struct stat st;
    char directory[sizeof instance.socket_path];
    int rc = aether_default_socket(path, size);

    if (rc != 0)
        return rc;
    const char *named = getenv("AETHER_SOCKET");
    if (named != NULL && named[0] != '\0')
        return 0;
    (void)snprintf(directory, sizeof directory, "%s", path);
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

static int start(struct ae_service_run *run) {
    int rc, handed;

    if ((rc = ae_activation_take(&handed)) != 0)
        return rc;
    if (run->socket_path[0] == '\0' && (rc = default_socket(run->socket_path, sizeof run->socket_path)) != 0)
        return rc;
    if ((rc = ae_instance_init(&instance, run->socket_path, (uint32_t)geteuid())) != 0)
        return rc;
    if ((rc = ae_instance_lock(&instance, &lock)) != 0)
        return rc == -EBUSY ? -EALREADY : rc;
    if ((rc = ae_broker_start(&broker, &instance, &limits)) != 0)
        return rc;
    /* Before broker_started: what belongs to another daemon must not be stopped. */
    if ((rc = ae_instance_guard(&instance, &guard)) != 0)
        return rc == -EBUSY ? -EALREADY : rc;
    broker_started = true;
    ae_registry_set_release(&broker.registry, aether_version());
    if ((rc = ae_server_open(&server, &broker, &run->loop, handed, &lock)) != 0)
        return rc;
    (void)snprintf(run->ready, sizeof run->ready, "listening at %s", instance.socket_path);
    return 0;
}

static void reload(struct ae_service_run *run) {
    (void)run;
    broker.limits.ring_bytes = limits.ring_bytes;
    ae_server_check(server);
}

static void stop(struct ae_service_run *run) {
    (void)run;
    if (server != NULL)
        ae_server_close(server);
    if (broker_started)
        ae_broker_stop(&broker);
}

static const struct ae_service aetherd = {
    .name = "aetherd",
    .summary = "Creates topics for the programs that connect at PATH and hands out their shared memory. Runs in the\n"
               "foreground until SIGTERM or SIGINT. PATH: --socket, else the config file's, else $AETHER_SOCKET, else\n"
               "$XDG_RUNTIME_DIR/aether/aetherd.sock, else /tmp/aether-UID/aetherd.sock.\n",
    .running = "another aetherd runs at PATH",
    .section = "daemon",
    .socket_help = "The socket to which clients connect. Default: $AETHER_SOCKET, else\n"
                   "$XDG_RUNTIME_DIR/aether/aetherd.sock, else /tmp/aether-UID/aetherd.sock.",
    .socket_example = "/run/aether/aetherd.sock",
    .log_example = "/var/log/aetherd.log",
    .keys = keys,
    .key_count = sizeof keys / sizeof keys[0],
    .start = start,
    .reload = reload,
    .stop = stop,
};

int main(int argc, char **argv) {
    return ae_service_main(&aetherd, argc, argv);
}
