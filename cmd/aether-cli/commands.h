/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands.h - the commands, one a file.
 *
 * A command is a function of its words, with its name in argv[0], and returns an exit status. It begins with
 * args_parse() and uses the daemon by cli_connect() or inspect_open(). Afterwards main() flushes stdout and reports a
 * failed write.
 */
#ifndef AETHER_CLI_COMMANDS_H
#define AETHER_CLI_COMMANDS_H

int cmd_topic(int argc, char **argv);
int cmd_pub(int argc, char **argv);
int cmd_sub(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_latency(int argc, char **argv);
int cmd_lag(int argc, char **argv);
int cmd_hz(int argc, char **argv);
int cmd_clients(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_ping(int argc, char **argv);
int cmd_shutdown(int argc, char **argv);

#endif
