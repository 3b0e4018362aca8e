/* SPDX-License-Identifier: Apache-2.0 */
/* hello_pub.c - publishes greetings:  hello_pub [COUNT]   (else 10) */
#include <aether/aether.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    const unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 10;
    aether_client *client = NULL;
    aether_publisher *pub = NULL;
    int rc = aether_connect(&client, NULL);

    if (rc == 0)
        rc = aether_publisher_open(client, "greetings", NULL, &pub);
    for (unsigned long i = 0; rc == 0 && i < count; i++) {
        char text[32];
        const int len = snprintf(text, sizeof text, "hello %lu", i);
        /* Waits while a reliable subscriber is a whole ring behind. */
        rc = aether_publish_wait(pub, text, (size_t)len, AETHER_FOREVER);
    }
    if (rc < 0)
        fprintf(stderr, "hello_pub: %s\n", aether_errmsg());
    aether_disconnect(client);
    return rc < 0;
}
