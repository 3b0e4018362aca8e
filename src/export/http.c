/* SPDX-License-Identifier: Apache-2.0 */
#include "export/http.h"
#include "base/clock.h"
#include "base/error.h"
#include "export/negotiate.h"
#include "export/page.h"
#include "export/target.h"
#include "export/worker.h"
#include "service/log.h"
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* From so many connections on, the oldest one that hasn't sent a request makes room for each new one. */
#define CONNECTIONS_IDLE 128u
#define CONNECTIONS_MAX 256u           /* others wait in the kernel until one of these is closed */
#define CONNECTION_MEMORY (32u * 1024) /* the line and headers of a request must fit, with 64 bytes for each header */
#define SILENCE_S 10u                  /* a connection without progress */
#define LIFE_NS UINT64_C(30000000000)  /* a connection, with its one request and response */
#define NS_PER_MS UINT64_C(1000000)

#define TEXT_TYPE "text/plain; charset=utf-8"

/* A connection. */
struct peer {
    struct peer *next, **link; /* in http->peers, the oldest first */
    uint64_t due_ns;           /* when it is closed */
    int fd;                    /* -1: it is being closed */
    bool asks;                 /* all headers of its request have come */
};

struct ae_http {
    struct MHD_Daemon *daemon;
    struct ae_worker *worker;
    const struct ae_listen *listen;
    struct ae_loop *loop;
    struct ae_source connections, answers; /* descriptors of MHD and of the worker */
    struct ae_timer timer;
    struct peer *peers, **peers_end;
    unsigned open; /* peers that aren't being closed */
    bool closed;   /* a connection has been closed since the last run() */
};

/* A request. */
struct exchange {
    struct ae_ask ask; /* the first member */
    struct MHD_Connection *connection;
    struct ae_target target;
    bool begun, asked, answered;
};

static struct peer *peer_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info != NULL ? info->socket_context : NULL;
}

/* ---- responses --------------------------------------------------------------------------------------------------- */

/* Takes over the response, NULL too. A browser must not keep it, run it, frame it, or give it to another site. */
static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned status, const char *type,
                                     struct MHD_Response *response) {
    static const char *const headers[][2] = {
        {"Cache-Control", "no-store"},
        {"Content-Security-Policy", AE_PAGE_POLICY},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Vary", "Accept"},
        /* One request a connection, so that the limits of a connection are limits of a request. */
        {"Connection", "close"},
    };

    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_add_response_header(response, "Content-Type", type);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0] && result == MHD_YES; i++)
        result = MHD_add_response_header(response, headers[i][0], headers[i][1]);
    if (result == MHD_YES && status == MHD_HTTP_METHOD_NOT_ALLOWED)
        result = MHD_add_response_header(response, "Allow", "GET, HEAD");
    if (result == MHD_YES)
        result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_line(struct MHD_Connection *connection, unsigned status, const char *line) {
    char text[640];
    const int len = snprintf(text, sizeof text, "%s\n", line);

    return send_response(connection, status, TEXT_TYPE,
                         MHD_create_response_from_buffer((size_t)len, text, MHD_RESPMEM_MUST_COPY));
}

static enum MHD_Result send_file(struct MHD_Connection *connection, const struct ae_page_file *file) {
    void *data; /* MHD only reads it, but its parameter isn't a pointer to const */

    memcpy(&data, &file->data, sizeof data);
    return send_response(connection, MHD_HTTP_OK, file->content_type,
                         MHD_create_response_from_buffer(file->size, data, MHD_RESPMEM_PERSISTENT));
}

static void release_body(void *body) {
    ae_body_release(body);
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct ae_ask *ask) {
    static const char *const types[] = {
        [AE_ASK_READY] = TEXT_TYPE,
        [AE_ASK_PROMETHEUS] = "text/plain; version=0.0.4; charset=utf-8",
        [AE_ASK_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
        [AE_ASK_TOPICS] = "application/json",
        [AE_ASK_TOPIC] = "application/json",
    };
    struct ae_body *body = ask->body;

    if (ask->rc != 0)
        return send_line(connection, MHD_HTTP_SERVICE_UNAVAILABLE, ask->text);
    if (body == NULL)
        return send_line(connection, MHD_HTTP_OK, "ready");
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback_cls(body->len, body->data, release_body, body);
    if (response != NULL)
        ask->body = NULL; /* it is the response's now */
    return send_response(connection, MHD_HTTP_OK, types[ask->kind], response);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* What counts in the headers of a request beside their values. */
struct headers {
    unsigned hosts;
    bool body;
};

static enum MHD_Result read_header(void *self, enum MHD_ValueKind kind, const char *key, const char *value) {
    struct headers *headers = self;

    (void)kind;
    headers->hosts += strcasecmp(key, MHD_HTTP_HEADER_HOST) == 0;
    /* Some clients say with each request that its body has 0 bytes. */
    if (strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0)
        headers->body |= value == NULL || value[strspn(value, "0")] != '\0';
    headers->body |= strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
    return MHD_YES;
}

static struct headers headers_of(struct MHD_Connection *connection) {
    struct headers headers = {0};

    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, read_header, &headers);
    return headers;
}

/*
 * Is the request for this server? A browser states the name that its user or a page asked for. HTTP/1.0, without Host,
 * is no browser. Answers it if not.
 */
static bool admit_host(const struct ae_http *http, const struct exchange *exchange, enum MHD_Result *result) {
    struct MHD_Connection *connection = exchange->connection;
    const char *host = exchange->target.absolute
                           ? exchange->target.host
                           : MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);

    if (headers_of(connection).hosts > 1) {
        *result = send_line(connection, MHD_HTTP_BAD_REQUEST, "more than one header Host");
        return false;
    }
    if (host == NULL || ae_listen_admits(http->listen, host))
        return true;
    *result = send_line(connection, MHD_HTTP_FORBIDDEN,
                        "the header Host names another server: use localhost, a loopback address, or the address that "
                        "aether-metrics listens at");
    return false;
}

/* Reads ?topic=NAME. 1: there is one; 0: there is none; -1: it can't be the name of a topic. */
static int topic_of(struct exchange *exchange) {
    size_t len = 0;
    const int found =
        ae_target_argument(&exchange->target, "topic", exchange->ask.topic, sizeof exchange->ask.topic, &len);

    return found > 0 && (len == 0 || memchr(exchange->ask.topic, '\0', len) != NULL) ? -1 : found;
}

/* Gives the request to the worker; the connection waits meanwhile. */
static enum MHD_Result ask_worker(struct ae_http *http, struct exchange *exchange, enum ae_ask_kind kind) {
    exchange->asked = true;
    exchange->ask.kind = kind;
    MHD_suspend_connection(exchange->connection);
    ae_worker_ask(http->worker, &exchange->ask);
    return MHD_YES;
}

static enum MHD_Result route(struct ae_http *http, struct exchange *exchange) {
    struct MHD_Connection *connection = exchange->connection;
    const char *path = exchange->target.path;
    const struct ae_page_file *file;

    if (strcmp(path, "/metrics") == 0) {
        const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
        return ask_worker(http, exchange, ae_accepts_openmetrics(accept) ? AE_ASK_OPENMETRICS : AE_ASK_PROMETHEUS);
    }
    if (strcmp(path, "/api/topics.json") == 0) {
        const int topic = topic_of(exchange);
        return topic < 0 ? send_line(connection, MHD_HTTP_BAD_REQUEST, "the name of a topic has 1 to 255 bytes, not 0")
                         : ask_worker(http, exchange, topic > 0 ? AE_ASK_TOPIC : AE_ASK_TOPICS);
    }
    if (strcmp(path, "/healthz") == 0)
        return send_line(connection, MHD_HTTP_OK, "ok");
    if (strcmp(path, "/readyz") == 0)
        return ask_worker(http, exchange, AE_ASK_READY);
    if ((file = ae_page_find(path)) != NULL)
        return send_file(connection, file);
    return send_line(connection, MHD_HTTP_NOT_FOUND,
                     "unknown path: use /, /metrics, /api/topics.json, /healthz or /readyz");
}

static enum MHD_Result serve(struct ae_http *http, struct exchange *exchange, const char *method) {
    struct MHD_Connection *connection = exchange->connection;
    enum MHD_Result result;

    if (!admit_host(http, exchange, &result))
        return result;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return send_line(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "use GET or HEAD");
    return route(http, exchange);
}

/*
 * MHD calls this with the target as it came, before it parses that. The target is read here, and its query taken away
 * from MHD: MHD would need 64 bytes of the connection's memory for each argument, and doesn't answer when that is used
 * up.
 */
static void *on_target(void *self, const char *text, struct MHD_Connection *connection) {
    struct exchange *exchange = calloc(1, sizeof *exchange);
    const char *query = strchr(text, '?');
    char *cut;

    (void)self;
    if (query != NULL) {
        query++;
        memcpy(&cut, &query, sizeof cut); /* it is a part of MHD's buffer, though the parameter is a pointer to const */
    }
    if (exchange != NULL) {
        exchange->connection = connection;
        ae_target_parse(&exchange->target, text);
    }
    if (query != NULL)
        *cut = '\0';
    return exchange;
}

/* What can be answered without a look at the body. */
static enum MHD_Result begin(struct exchange *exchange, const char *method) {
    struct MHD_Connection *connection = exchange->connection;
    struct peer *peer = peer_of(connection);

    exchange->begun = true;
    if (peer != NULL)
        peer->asks = true;
    if (exchange->target.too_long)
        return send_line(connection, MHD_HTTP_URI_TOO_LONG, "path and query: use at most 2000 bytes");
    /* A response before the body ends the connection afterwards, so a body is never read. */
    if (headers_of(connection).body)
        return strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0
                   ? send_line(connection, MHD_HTTP_BAD_REQUEST, "a request with a body: leave it out")
                   : send_line(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "use GET or HEAD");
    return MHD_YES;
}

/*
 * MHD calls this when the headers are there, for each piece of a body, after that, and after a resume, until a response
 * is queued.
 */
static enum MHD_Result on_request(void *self, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **context) {
    struct exchange *exchange = *context;

    (void)url;
    (void)version;
    (void)upload;
    if (exchange == NULL)
        return MHD_NO; /* no memory */
    if (!exchange->begun)
        return begin(exchange, method);
    *upload_size = 0;
    if (exchange->answered)
        return send_answer(connection, &exchange->ask);
    return exchange->asked ? MHD_YES : serve(self, exchange, method);
}

static void on_completed(void *self, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code) {
    struct exchange *exchange = *context;

    (void)self;
    (void)connection;
    (void)code;
    if (exchange != NULL)
        ae_body_release(exchange->ask.body);
    free(exchange);
    *context = NULL;
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

/* Ends a connection: MHD sees the end of its stream. It leaves the list when MHD closes it. */
static void end_connection(struct ae_http *http, struct peer *peer) {
    if (peer->fd < 0)
        return;
    (void)shutdown(peer->fd, SHUT_RDWR);
    peer->fd = -1;
    http->open--;
}

/*
 * Makes room for a new connection. Clients that connect and send nothing, however many, would otherwise keep all others
 * out until SILENCE_S has passed.
 */
static void end_idle_connection(struct ae_http *http) {
    for (struct peer *peer = http->peers; peer != NULL && http->open > CONNECTIONS_IDLE; peer = peer->next)
        if (!peer->asks)
            end_connection(http, peer);
}

static void on_connection(void *self, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code) {
    struct ae_http *http = self;
    struct peer *peer = *context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        peer = calloc(1, sizeof *peer);
        *context = peer;
        if (peer == NULL || info == NULL)
            return; /* only MHD's own limits hold for it */
        peer->fd = info->connect_fd;
        peer->due_ns = ae_now_ns() + LIFE_NS;
        peer->link = http->peers_end;
        *http->peers_end = peer;
        http->peers_end = &peer->next;
        http->open++;
        end_idle_connection(http);
        return;
    }
    http->closed = true;
    if (peer != NULL) {
        if (peer->link != NULL) {
            http->open -= peer->fd >= 0;
            *peer->link = peer->next;
            if (peer->next != NULL)
                peer->next->link = peer->link;
            else
                http->peers_end = peer->link;
        }
        free(peer);
        *context = NULL;
    }
}

static void end_old_connections(struct ae_http *http, uint64_t now) {
    for (struct peer *peer = http->peers; peer != NULL && peer->due_ns <= now; peer = peer->next)
        end_connection(http, peer);
}

/* Lets MHD do what it can, and arms the timer for what it must do later. */
static void run(struct ae_http *http) {
    MHD_UNSIGNED_LONG_LONG ms;
    uint64_t due = UINT64_MAX;
    const uint64_t now = ae_now_ns();

    end_old_connections(http, now);
    http->closed = false;
    (void)MHD_run(http->daemon);
    /* MHD listens again after it was full, but only in a run after the one in which it closed a connection. */
    if (http->closed)
        due = now;
    else if (MHD_get_timeout(http->daemon, &ms) == MHD_YES)
        due = now + ms * NS_PER_MS;
    for (const struct peer *peer = http->peers; peer != NULL; peer = peer->next) {
        if (peer->fd >= 0) {
            due = peer->due_ns < due ? peer->due_ns : due;
            break;
        }
    }
    if (due != UINT64_MAX)
        ae_timer_arm(http->loop, &http->timer, due);
    else
        ae_timer_disarm(&http->timer);
}

static void on_connections(struct ae_source *source, uint32_t events) {
    (void)events;
    run(AE_CONTAINER(source, struct ae_http, connections));
}

static void on_timer(struct ae_timer *timer) {
    run(AE_CONTAINER(timer, struct ae_http, timer));
}

static void resume(struct ae_ask *asks) {
    while (asks != NULL) {
        struct exchange *exchange = AE_CONTAINER(asks, struct exchange, ask);
        asks = asks->next;
        exchange->answered = true;
        MHD_resume_connection(exchange->connection);
    }
}

static void on_answers(struct ae_source *source, uint32_t events) {
    struct ae_http *http = AE_CONTAINER(source, struct ae_http, answers);

    (void)events;
    resume(ae_worker_answers(http->worker));
    run(http);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static void log_error(void *self, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
static void log_error(void *self, const char *format, va_list args) {
    char text[512];

    (void)self;
    (void)vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    ae_log_line(AE_LOG_DEBUG, "HTTP: %s", text);
}

static int start_daemon(struct ae_http *http) {
    /* MHD closes its listening socket, so it gets a copy. */
    int fd = fcntl(http->listen->fd, F_DUPFD_CLOEXEC, 3);

    if (fd < 0)
        return ae_fail(-errno, "the listening socket: %s", strerror(errno));
    http->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, http,
                         MHD_OPTION_EXTERNAL_LOGGER, log_error, NULL,  /* the first option, for errors of the others */
                         MHD_OPTION_LISTEN_SOCKET, fd,                 /* */
                         MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, /* */
                         MHD_OPTION_CONNECTION_TIMEOUT, SILENCE_S,     /* */
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, /* */
                         MHD_OPTION_STRICT_FOR_CLIENT, 1,                               /* */
                         MHD_OPTION_URI_LOG_CALLBACK, on_target, http,                  /* */
                         MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,               /* */
                         MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,             /* */
                         MHD_OPTION_END);
    if (http->daemon == NULL) {
        ae_close(&fd);
        return ae_fail(-EIO, "libmicrohttpd %s can't start", MHD_get_version());
    }
    return 0;
}

int ae_http_open(struct ae_http **http, struct ae_loop *loop, const struct ae_listen *listen,
                 const struct ae_reader_options *options) {
    struct ae_http *h = calloc(1, sizeof *h);
    int rc;

    *http = NULL;
    if (h == NULL)
        return ae_fail(-ENOMEM, "no memory for the server");
    *h = (struct ae_http){.listen = listen, .loop = loop, .timer.fn = on_timer};
    h->peers_end = &h->peers;
    if ((rc = start_daemon(h)) != 0 || (rc = ae_worker_open(&h->worker, options)) != 0)
        goto fail;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL) {
        rc = ae_fail(-EIO, "libmicrohttpd %s has no epoll", MHD_get_version());
        goto fail;
    }
    h->connections = (struct ae_source){.fn = on_connections, .fd = info->epoll_fd, .events = EPOLLIN};
    h->answers = (struct ae_source){.fn = on_answers, .fd = ae_worker_fd(h->worker), .events = EPOLLIN};
    if ((rc = ae_source_add(loop, &h->connections)) != 0 || (rc = ae_source_add(loop, &h->answers)) != 0)
        goto fail;
    *http = h;
    return 0;
fail:
    ae_http_close(h);
    return rc;
}

void ae_http_close(struct ae_http *http) {
    if (http == NULL)
        return;
    ae_timer_disarm(&http->timer);
    ae_source_remove(&http->answers);
    ae_source_remove(&http->connections);
    /* MHD can't stop while connections are suspended. What the worker hasn't answered isn't answered any more. */
    for (struct ae_ask *ask = ae_worker_close(http->worker); ask != NULL; ask = ask->next)
        MHD_resume_connection(AE_CONTAINER(ask, struct exchange, ask)->connection);
    if (http->daemon != NULL)
        MHD_stop_daemon(http->daemon);
    free(http);
}
