/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_process.c - starts aetherd and stops it. */
#include "daemon_process.h"
#include "error.h"
#include "signals.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_NS 30000000000ull /* an aetherd that takes longer hangs */

/* $AETHERD; else beside this program, if installed; else in the neighbouring folder, if built; else in PATH. */
static void exec_daemon(const char *socket) {
    static const char *const places[] = {"aetherd", "../aetherd/aetherd"};
    const char *named = getenv("AETHERD");
    char self[512], path[600];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);

    if (named != NULL && named[0] != '\0') {
        execlp(named, "aetherd", "--socket", socket, "--log-level", "error", (char *)NULL);
        _exit(127);
    }
    if (len > 0) {
        self[len] = '\0';
        *strrchr(self, '/') = '\0';
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            (void)snprintf(path, sizeof path, "%s/%s", self, places[i]);
            execl(path, "aetherd", "--socket", socket, "--log-level", "error", (char *)NULL);
        }
    }
    execlp("aetherd", "aetherd", "--socket", socket, "--log-level", "error", (char *)NULL);
    _exit(127);
}

/* In $TMPDIR, but in /tmp if a socket's path in there would be too long. */
static int make_directory(struct bench_daemon *daemon) {
    static const char format[] = "%s/aether-bench-XXXXXX";
    const char *tmp = getenv("TMPDIR");

    if (tmp == NULL || tmp[0] != '/' ||
        snprintf(daemon->directory, sizeof daemon->directory, format, tmp) >= (int)sizeof daemon->directory) {
        tmp = "/tmp";
        (void)snprintf(daemon->directory, sizeof daemon->directory, format, tmp);
    }
    if (mkdtemp(daemon->directory) != NULL)
        return CLI_OK;
    daemon->directory[0] = '\0';
    return cli_error(CLI_FAILURE, "bench: %s: %s", tmp, strerror(errno));
}

int bench_daemon_start(struct bench_daemon *daemon) {
    const uint64_t deadline = cli_now_ns() + START_NS;
    const pid_t parent = getpid();
    const int status = make_directory(daemon);

    if (status != CLI_OK)
        return status;
    (void)snprintf(daemon->socket, sizeof daemon->socket, "%s/aetherd.sock", daemon->directory);
    daemon->pid = fork();
    if (daemon->pid < 0)
        return cli_error(CLI_FAILURE, "bench: fork: %s", strerror(errno));
    if (daemon->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* the kernel ends it when this process ends */
        if (getppid() != parent)
            _exit(1);
        exec_daemon(daemon->socket);
    }
    while (access(daemon->socket, F_OK) != 0) { /* the socket gets its name when the daemon listens */
        if (waitpid(daemon->pid, NULL, WNOHANG) == daemon->pid) {
            daemon->pid = 0;
            return cli_error(CLI_FAILURE,
                             "bench: aetherd didn't start: is it installed beside aether-cli? ($AETHERD names one)");
        }
        if (cli_now_ns() > deadline)
            return cli_error(CLI_FAILURE, "bench: aetherd wasn't ready within 30 seconds");
        (void)poll(NULL, 0, 5);
    }
    return CLI_OK;
}

void bench_daemon_stop(struct bench_daemon *daemon) {
    char lock[128];

    if (daemon->pid > 0) {
        (void)kill(daemon->pid, SIGTERM);
        (void)waitpid(daemon->pid, NULL, 0);
    }
    if (daemon->directory[0] == '\0')
        return;
    (void)snprintf(lock, sizeof lock, "%s.lock", daemon->socket);
    (void)unlink(lock); /* no other process uses the directory */
    (void)unlink(daemon->socket);
    (void)rmdir(daemon->directory);
}
