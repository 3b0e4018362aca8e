/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A queue that is measured. An adapter is a subclass: how a message is put in, and how it is taken out. Its constructor
 * has one parameter, the {@link Place} where the queue is, and runs in each process before there are roles.
 */
abstract class Peer {
    /** Of one thread. */
    interface Producer {
        /** Puts in up to count messages, the words of the i-th being n + i and on; returns how many, 0: no room. */
        int put(long n, int count);
    }

    /** Of one thread. */
    interface Consumer {
        /** Hands up to about max messages to the reader it was made with; returns how many, 0: there are none. */
        int take(int max);

        /** Sleeps until there may be a message, or about 100 ms have gone. */
        default void block() {
            throw new UnsupportedOperationException();
        }
    }

    /** Where a queue is: a file name that is its own, the same in both processes, and who makes it. */
    record Place(String path, int number, boolean first) {}

    /** Called in the producer's thread; so is consumer(). */
    abstract Producer producer(int number);

    abstract Consumer consumer(int number, Reader reader);

    long capacity() {
        return 0;
    }

    long ringBytes() {
        return 0;
    }
}
