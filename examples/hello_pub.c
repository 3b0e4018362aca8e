/* SPDX-License-Identifier: Apache-2.0 */
/* hello_pub.c - publishes greetings:  hello_pub [COUNT]   (else 10) */
#include <aether/aether.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    const unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 10;
    aether_client *client = NULL;
    aether_publisher *pub = NULL;
    aether_idle_state idle;
    int rc = aether_connect(&client, NULL);

    if (rc == 0)
        rc = aether_publisher_open(client, "greetings", NULL, &pub);
    aether_idle_init(&idle, AETHER_IDLE_SLEEP, 0);
    for (unsigned long i = 0; rc == 0 && i < count; i++) {
        char text[32];
        const int len = snprintf(text, sizeof text, "hello %lu", i);
        while ((rc = aether_publish(pub, text, (size_t)len)) == AETHER_FULL)
            aether_idle(&idle, 0); /* a reliable subscriber is a whole ring behind */
    }
    if (rc < 0)
        fprintf(stderr, "hello_pub: %s\n", aether_errmsg());
    aether_disconnect(client);
    return rc < 0;
}
