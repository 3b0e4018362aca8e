/* SPDX-License-Identifier: Apache-2.0 */
#include "export/body.h"
#include <stdlib.h>

struct ae_body *ae_body_open(char *data, size_t len) {
    struct ae_body *body = malloc(sizeof *body);

    if (body == NULL) {
        free(data);
        return NULL;
    }
    *body = (struct ae_body){.data = data, .len = len, .holders = 1};
    return body;
}

struct ae_body *ae_body_hold(struct ae_body *body) {
    if (body != NULL)
        (void)__atomic_add_fetch(&body->holders, 1, __ATOMIC_RELAXED);
    return body;
}

void ae_body_release(struct ae_body *body) {
    /* Acquire and release: the last holder frees the body after all uses by others. */
    if (body != NULL && __atomic_sub_fetch(&body->holders, 1, __ATOMIC_ACQ_REL) == 0) {
        free(body->data);
        free(body);
    }
}
