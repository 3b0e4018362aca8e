/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - aether-metrics: the service of the HTTP server and its reader. */
#include "base/error.h"
#include "export/http.h"
#include "export/listen.h"
#include "service/service.h"
#include <aether/connect.h>
#include <errno.h>
#include <stdio.h>

static char where[AE_LISTEN_TEXT_MAX + 1];
static unsigned remote, clients;
static uint32_t topics, interval_ms;

static const char *const switches[] = {"off", "on", NULL};

static const struct ae_conf_key keys[] = {
    {.section = "metrics",
     .name = "listen",
     .option = "listen",
     .kind = AE_CONF_TEXT,
     .target.path = where,
     .max = AE_LISTEN_TEXT_MAX,
     .what = "ADDRESS:PORT|unix:PATH",
     .value = "127.0.0.1:9477",
     .help = "Where it listens: 127.0.0.1:9477, [::1]:9477, or unix:PATH. Port 0: any free one."},
    {.section = "metrics",
     .name = "remote",
     .option = "remote",
     .kind = AE_CONF_WORD,
     .target.word = &remote,
     .words = switches,
     .what = "value of --remote",
     .value = "off",
     .help = "on: an address that other machines can reach is allowed. There is no password and no\n"
             "encryption: whoever reaches the port reads the names of topics and clients."},
    {.section = "metrics",
     .name = "topics",
     .option = "topics",
     .kind = AE_CONF_U32,
     .target.u32 = &topics,
     .min = 1,
     .max = 10000,
     .value = "200",
     .help = "Topics that are shown by name: those with the most messages a second. The others are\n"
             "added up as topic=\"#other\"."},
    {.section = "metrics",
     .name = "clients",
     .option = "clients",
     .kind = AE_CONF_WORD,
     .target.word = &clients,
     .words = switches,
     .what = "value of --clients",
     .value = "off",
     .help = "on: /metrics has series of publishers, subscribers and clients, too. Each program that\n"
             "starts makes new ones."},
    {.section = "metrics",
     .name = "interval",
     .kind = AE_CONF_U32,
     .target.u32 = &interval_ms,
     .min = 0,
     .max = 60000,
     .value = "250",
     .help = "Milliseconds in which all requests are answered from one reading of the instance."},
};

static struct ae_listen listener = {.fd = -1, .lock = -1};
static struct ae_http *http;

static int check(void) {
    const int rc = ae_listen_parse(&listener, where);

    if (rc != 0 || !listener.remote || remote)
        return rc;
    return ae_fail(-EINVAL,
                   "listen = '%s' is an address that other machines can reach, and there is no password: use a "
                   "loopback address or unix:PATH, or permit it with --remote on",
                   where);
}

static int start(struct ae_service_run *run) {
    struct ae_reader_options options = {.topics = topics, .clients = clients != 0, .interval_ms = interval_ms};
    char url[AE_LISTEN_URL_SIZE];
    int rc;

    if (run->socket_path[0] == '\0' && (rc = aether_default_socket(run->socket_path, sizeof run->socket_path)) != 0)
        return rc;
    (void)snprintf(options.socket_path, sizeof options.socket_path, "%s", run->socket_path);
    if ((rc = ae_listen_open(&listener)) != 0 || (rc = ae_http_open(&http, &run->loop, &listener, &options)) != 0)
        return rc;
    (void)snprintf(run->ready, sizeof run->ready, "listening at %s", ae_listen_url(&listener, url));
    return 0;
}

static void stop(struct ae_service_run *run) {
    (void)run;
    ae_http_close(http);
    ae_listen_close(&listener);
}

static const struct ae_service metrics = {
    .name = "aether-metrics",
    .summary =
        "Shows what the topics of an aetherd are doing: to Prometheus at /metrics, to a browser at /, as JSON at\n"
        "/api/topics.json. Reads shared memory, so it works without aetherd, too. Runs in the foreground until\n"
        "SIGTERM or SIGINT. PATH, aetherd's socket: --socket, else the config file's, else $AETHER_SOCKET, else\n"
        "$XDG_RUNTIME_DIR/aether/aetherd.sock, else /tmp/aether-UID/aetherd.sock.\n",
    .running = "another aether-metrics listens at unix:PATH",
    .section = "metrics",
    .socket_help = "The socket of aetherd, whose topics are shown. Default: $AETHER_SOCKET, else\n"
                   "$XDG_RUNTIME_DIR/aether/aetherd.sock, else /tmp/aether-UID/aetherd.sock.",
    .socket_example = "/run/aether/aetherd.sock",
    .log_example = "/var/log/aether-metrics.log",
    .keys = keys,
    .key_count = sizeof keys / sizeof keys[0],
    .check = check,
    .start = start,
    .stop = stop,
};

int main(int argc, char **argv) {
    return ae_service_main(&metrics, argc, argv);
}
