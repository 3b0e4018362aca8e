/* SPDX-License-Identifier: Apache-2.0 */
/* notify.c - a notifier is a waitset of one subscriber. */
#include "base/error.h"
#include "base/export.h"
#include "client/waitset.h"
#include <aether/wait.h>
#include <errno.h>
#include <stdlib.h>

struct aether_notifier {
    aether_waitset *set;
};

AE_EXPORT int aether_notifier_open(aether_subscriber *subscriber, aether_notifier **out) {
    struct aether_notifier *notifier = calloc(1, sizeof *notifier);
    int rc;

    if (notifier == NULL)
        return ae_fail(-ENOMEM, "out of memory for a notifier: %zu bytes", sizeof *notifier);
    rc = aether_waitset_open(&notifier->set);
    if (rc == 0)
        rc = aether_waitset_add(notifier->set, subscriber, NULL);
    if (rc == 0)
        rc = aether_waitset_fd(notifier->set);
    if (rc < 0) {
        aether_notifier_close(notifier);
        return rc;
    }
    *out = notifier;
    return 0;
}

AE_EXPORT void aether_notifier_close(aether_notifier *notifier) {
    if (notifier == NULL)
        return;
    aether_waitset_close(notifier->set);
    free(notifier);
}

AE_EXPORT int aether_notifier_fd(const aether_notifier *notifier) {
    return aether_waitset_fd(notifier->set);
}

AE_EXPORT void aether_notifier_arm(aether_notifier *notifier) {
    aether_ready ready;

    ae_waitset_ends_reported(notifier->set);
    (void)aether_waitset_next(notifier->set, &ready, 0);
}
