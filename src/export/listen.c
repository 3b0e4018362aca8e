/* SPDX-License-Identifier: Apache-2.0 */
#include "export/listen.h"
#include "base/error.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128
#define SOCKET_MODE 0660

/* ---- addresses --------------------------------------------------------------------------------------------------- */

/* An address as IPv6; those of IPv4 are mapped. */
struct literal {
    struct in6_addr six;
};

static bool parse_literal(const char *text, struct literal *literal) {
    char mapped[INET6_ADDRSTRLEN + 8];
    struct in_addr four;

    if (inet_pton(AF_INET6, text, &literal->six) == 1)
        return true;
    if (inet_pton(AF_INET, text, &four) != 1)
        return false;
    (void)snprintf(mapped, sizeof mapped, "::ffff:%s", text);
    return inet_pton(AF_INET6, mapped, &literal->six) == 1;
}

static bool is_loopback(const struct literal *literal) {
    return IN6_IS_ADDR_LOOPBACK(&literal->six) ||
           (IN6_IS_ADDR_V4MAPPED(&literal->six) && literal->six.s6_addr[12] == 127);
}

/* The address of all interfaces. */
static bool is_any(const struct literal *literal) {
    static const unsigned char zeros[4];

    return IN6_IS_ADDR_UNSPECIFIED(&literal->six) ||
           (IN6_IS_ADDR_V4MAPPED(&literal->six) && memcmp(literal->six.s6_addr + 12, zeros, sizeof zeros) == 0);
}

static struct literal literal_of(const struct ae_listen *listen) {
    char text[INET6_ADDRSTRLEN] = "";
    struct literal literal;

    if (listen->address.ss_family == AF_INET6)
        return (struct literal){((const struct sockaddr_in6 *)(const void *)&listen->address)->sin6_addr};
    (void)inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)&listen->address)->sin_addr, text,
                    sizeof text);
    (void)parse_literal(text, &literal);
    return literal;
}

static bool parse_port(const char *text, in_port_t *port) {
    char *end;

    if (text[0] < '0' || text[0] > '9' || strlen(text) > 5)
        return false;
    const unsigned long number = strtoul(text, &end, 10);
    *port = htons((in_port_t)number);
    return *end == '\0' && number <= 65535;
}

/*
 * Splits "HOST:PORT" or "[HOST]:PORT" at the last colon. *port is "" if there is none. Returns false if the text has
 * another form, or if host has no room.
 */
static bool split(const char *text, char *host, size_t size, bool *bracketed, const char **port) {
    const char *begin = text, *end;

    *bracketed = text[0] == '[';
    if (*bracketed) {
        begin++;
        end = strchr(begin, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return false;
        *port = end[1] == ':' ? end + 2 : end + 1;
    } else {
        end = begin + strcspn(begin, ":");
        *port = *end == ':' ? end + 1 : end;
    }
    const size_t len = (size_t)(end - begin);
    if (len >= size)
        return false;
    memcpy(host, begin, len);
    host[len] = '\0';
    return true;
}

static bool parse_address(struct ae_listen *listen, const char *text) {
    char host[INET6_ADDRSTRLEN];
    const char *port_text;
    bool six;
    in_port_t port;

    if (!split(text, host, sizeof host, &six, &port_text) || !parse_port(port_text, &port))
        return false;
    if (six) {
        struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = port};
        if (inet_pton(AF_INET6, host, &address.sin6_addr) != 1)
            return false;
        memcpy(&listen->address, &address, sizeof address);
        listen->length = sizeof address;
    } else {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = port};
        if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
            return false;
        memcpy(&listen->address, &address, sizeof address);
        listen->length = sizeof address;
    }
    const struct literal literal = literal_of(listen);
    listen->remote = !is_loopback(&literal);
    return true;
}

int ae_listen_parse(struct ae_listen *listen, const char *text) {
    *listen = (struct ae_listen){.fd = -1, .lock = -1};
    if (strncmp(text, "unix:", 5) == 0) {
        const size_t len = strlen(text + 5);
        if (len == 0 || len > AE_SOCKET_PATH_MAX)
            return ae_fail(-EINVAL, "listen = '%s': the path of a socket has 1 to %u bytes", text, AE_SOCKET_PATH_MAX);
        memcpy(listen->path, text + 5, len + 1);
        return 0;
    }
    if (!parse_address(listen, text))
        return ae_fail(-EINVAL,
                       "listen = '%s': use a numeric address and a port from 0 to 65535, such as 127.0.0.1:9477 or "
                       "[::1]:9477, or unix:PATH",
                       text);
    return 0;
}

char *ae_listen_url(const struct ae_listen *listen, char text[AE_LISTEN_URL_SIZE]) {
    struct sockaddr_storage bound = listen->address;
    socklen_t length = sizeof bound;
    char host[INET6_ADDRSTRLEN] = "?";

    if (listen->path[0] != '\0') {
        (void)snprintf(text, AE_LISTEN_URL_SIZE, "unix:%s", listen->path);
        return text;
    }
    if (listen->fd >= 0)
        (void)getsockname(listen->fd, (struct sockaddr *)&bound, &length);
    if (bound.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)&bound;
        (void)inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        (void)snprintf(text, AE_LISTEN_URL_SIZE, "http://[%s]:%u/", host, ntohs(six->sin6_port));
    } else {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)&bound;
        (void)inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        (void)snprintf(text, AE_LISTEN_URL_SIZE, "http://%s:%u/", host, ntohs(four->sin_port));
    }
    return text;
}

bool ae_listen_admits(const struct ae_listen *listen, const char *host) {
    char name[INET6_ADDRSTRLEN];
    const char *port_text;
    bool bracketed;
    in_port_t port;
    struct literal literal;

    if (listen->path[0] != '\0')
        return true;
    if (!split(host, name, sizeof name, &bracketed, &port_text) ||
        (port_text[0] != '\0' && !parse_port(port_text, &port)))
        return false;
    if (!bracketed && strcasecmp(name, "localhost") == 0)
        return true;
    if (!parse_literal(name, &literal))
        return false;
    const struct literal own = literal_of(listen);
    return is_loopback(&literal) || is_any(&own) || IN6_ARE_ADDR_EQUAL(&literal.six, &own.six);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* Why a port can't be opened, and what would be right. */
static int fail_port(struct ae_listen *l, int error) {
    const bool six = l->address.ss_family == AF_INET6;
    char url[AE_LISTEN_URL_SIZE];

    ae_close(&l->fd); /* so that the URL has the address that was asked for */
    (void)ae_listen_url(l, url);
    switch (error) {
    case EADDRINUSE:
        return ae_fail(
            -error, "%s: another program listens there ('ss -ltnp' names it): end it, or choose a port with --listen",
            url);
    case EADDRNOTAVAIL:
        return ae_fail(-error,
                       "%s: this machine doesn't have the address: use a loopback address, or one that 'ip "
                       "address' shows",
                       url);
    case EACCES:
        return ae_fail(-error, "%s: no permission for this port: choose one from 1024 on", url);
    case EAFNOSUPPORT:
        return ae_fail(-error, "%s: this machine, or this service, may not use IPv%c: use %s", url, six ? '6' : '4',
                       six ? "127.0.0.1:PORT" : "[::1]:PORT or unix:PATH");
    case EINVAL: /* of an address of IPv6 that is valid on one interface only */
        return ae_fail(-error, "%s: an address of one link can't be used: use a loopback or a global address", url);
    default:
        return ae_fail(-error, "%s: %s", url, strerror(error));
    }
}

static int open_port(struct ae_listen *l) {
    const int on = 1;

    l->fd = socket(l->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0)
        return fail_port(l, errno);
    /* So that a restart needn't wait for the kernel to forget old connections. Two listeners stay impossible. */
    (void)setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (l->address.ss_family == AF_INET6)
        (void)setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(l->fd, (const struct sockaddr *)&l->address, l->length) == 0 && listen(l->fd, BACKLOG) == 0)
        return 0;
    return fail_port(l, errno);
}

/* The directory of a path, without the "/" at its end unless it is all. */
static char *directory_of(const char *path, char directory[AE_SOCKET_PATH_MAX + 2]) {
    const char *slash = strrchr(path, '/');
    const int len = slash == NULL ? 0 : slash == path ? 1 : (int)(slash - path);

    (void)snprintf(directory, AE_SOCKET_PATH_MAX + 2, "%.*s", len > 0 ? len : 1, len > 0 ? path : ".");
    return directory;
}

/* Why a file beside the Unix socket, or the socket, can't be created, and what would be right. */
static int fail_path(const struct ae_listen *l, int error, const char *file) {
    char directory[AE_SOCKET_PATH_MAX + 2];
    struct stat st;

    (void)directory_of(l->path, directory);
    if (error == ENOENT && stat(directory, &st) != 0)
        return ae_fail(-error,
                       "unix:%s: there is no directory '%s': create it (for a service of systemd with "
                       "RuntimeDirectory=), or choose another path",
                       l->path, directory);
    if (error == ENOTDIR)
        return ae_fail(-error, "unix:%s: '%s' isn't a directory: choose another path", l->path, directory);
    if (error == EROFS)
        return ae_fail(
            -error,
            "unix:%s: '%s' is read-only: choose another path; for a service of systemd, add the directory to "
            "ReadWritePaths=",
            l->path, directory);
    if ((error == EACCES || error == EPERM) && access(directory, W_OK | X_OK) != 0)
        return ae_fail(-error, "unix:%s: no permission to create files in '%s': permit it, or choose another path",
                       l->path, directory);
    if ((error == EACCES || error == EPERM || error == ELOOP || error == EISDIR || error == EADDRINUSE) &&
        lstat(file, &st) == 0)
        return ae_fail(-error, "unix:%s: '%s' is of another user or of another kind: remove it, or choose another path",
                       l->path, file);
    return ae_fail(-error, "unix:%s: can't create '%s': %s: choose another path", l->path, file, strerror(error));
}

/* Locks PATH.lock, for as long as the process lives. */
static int lock_path(struct ae_listen *l) {
    char path[AE_SOCKET_PATH_MAX + 6];

    (void)snprintf(path, sizeof path, "%s.lock", l->path);
    l->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (l->lock < 0)
        return fail_path(l, errno, path);
    if (flock(l->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK
               ? ae_fail(-EALREADY, "another aether-metrics listens at unix:%s: end it, or choose another path",
                         l->path)
               : ae_fail(-errno, "%s: %s", path, strerror(errno));
}

/* The path must be free, or a socket that nobody listens at. */
static int check_path(const struct ae_listen *l) {
    struct sockaddr_un address;
    struct stat st;
    const int length = ae_socket_address(&address, l->path);
    int probe, rc;

    if (lstat(l->path, &st) != 0)
        return errno == ENOENT ? 0 : fail_path(l, errno, l->path);
    if (!S_ISSOCK(st.st_mode))
        return ae_fail(-EEXIST, "unix:%s: the path exists and isn't a socket: remove it, or choose another", l->path);
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return ae_fail(-errno, "unix:%s: %s", l->path, strerror(errno));
    rc = connect(probe, (const struct sockaddr *)&address, (socklen_t)length) == 0 ? 0 : -errno;
    ae_close(&probe);
    if (rc == -ECONNREFUSED)
        return 0;
    if (rc == -EACCES || rc == -EPERM)
        return fail_path(l, -rc, l->path);
    return ae_fail(-EADDRINUSE, "unix:%s: another program listens there: choose another path", l->path);
}

static int open_path(struct ae_listen *l) {
    char path[AE_SOCKET_PATH_MAX + 2];
    const char *file = path;
    struct sockaddr_un address;
    int rc;

    if ((rc = lock_path(l)) != 0 || (rc = check_path(l)) != 0)
        return rc;
    /* Bound under another name first: a program that finds the socket can connect. */
    (void)snprintf(path, sizeof path, "%s~", l->path);
    const int length = ae_socket_address(&address, path);
    (void)unlink(path);
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd >= 0 && bind(l->fd, (const struct sockaddr *)&address, (socklen_t)length) == 0) {
        if (chmod(path, SOCKET_MODE) == 0 && listen(l->fd, BACKLOG) == 0) {
            file = l->path;
            if (rename(path, l->path) == 0)
                return 0;
        }
        rc = errno;
        (void)unlink(path);
    } else {
        rc = errno;
    }
    ae_close(&l->fd);
    return fail_path(l, rc, file);
}

int ae_listen_open(struct ae_listen *listen) {
    const int rc = listen->path[0] != '\0' ? open_path(listen) : open_port(listen);

    if (rc != 0)
        ae_listen_close(listen);
    return rc;
}

void ae_listen_close(struct ae_listen *listen) {
    if (listen->fd >= 0 && listen->path[0] != '\0')
        (void)unlink(listen->path);
    ae_close(&listen->fd);
    ae_close(&listen->lock);
}
