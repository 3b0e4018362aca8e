/* SPDX-License-Identifier: Apache-2.0 */
/* hello_sub.c - prints greetings, those that the ring holds already first:  hello_sub [COUNT]   (else for ever) */
#include <aether/aether.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    const unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE, .from = AETHER_FROM_OLDEST};
    aether_client *client = NULL;
    aether_subscriber *sub = NULL;
    aether_message m;
    int rc = aether_connect(&client, NULL);

    if (rc == 0)
        rc = aether_subscriber_open(client, "greetings", &options, NULL, &sub);
    for (unsigned long i = 0; rc >= 0 && (count == 0 || i < count);) {
        rc = aether_receive_wait(sub, &m, AETHER_FOREVER); /* sleeps while there is nothing */
        if (rc > 0 && m.lost == 0) {
            printf("%llu %.*s\n", (unsigned long long)m.seq, (int)m.len, (const char *)m.data);
            i++;
        }
    }
    if (rc < 0)
        fprintf(stderr, "hello_sub: %s\n", aether_errmsg());
    aether_disconnect(client);
    return rc < 0;
}
