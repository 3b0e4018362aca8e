/* SPDX-License-Identifier: Apache-2.0 */
/* cpp_hello.cpp - the same library from C++17, handles owned by unique_ptr:  cpp_hello [COUNT]   (default 3) */
#include <aether/aether.h>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace {

struct closer {
    void operator()(aether_client *client) const {
        aether_disconnect(client);
    }
    void operator()(aether_publisher *publisher) const {
        aether_publisher_close(publisher);
    }
    void operator()(aether_subscriber *subscriber) const {
        aether_subscriber_close(subscriber);
    }
};

template <typename T> using handle = std::unique_ptr<T, closer>;

/* Calls a function that opens a handle, and returns the handle in an owner. */
template <typename T, typename Open> handle<T> open(Open &&call) {
    T *raw = nullptr;
    if (call(&raw) != 0)
        throw std::runtime_error(aether_errmsg());
    return handle<T>(raw);
}

void run(unsigned long count) {
    const char *topic = "examples/cpp";
    auto client = open<aether_client>([](auto out) { return aether_connect(out, nullptr); });
    auto sub = open<aether_subscriber>(
        [&](auto out) { return aether_subscriber_open(client.get(), topic, nullptr, nullptr, out); });
    auto pub =
        open<aether_publisher>([&](auto out) { return aether_publisher_open(client.get(), topic, nullptr, out); });

    for (unsigned long i = 0; i < count; i++) {
        const std::string text = "hello from C++ " + std::to_string(i);
        if (aether_publish(pub.get(), text.data(), text.size()) != 0)
            throw std::runtime_error("not published");

        aether_message m;
        if (aether_receive(sub.get(), &m) != 1)
            throw std::runtime_error("not received");
        const std::string_view view(static_cast<const char *>(m.data), m.len);
        std::printf("%.*s\n", static_cast<int>(view.size()), view.data());
    }
    pub.reset();
    sub.reset();
    if (aether_topic_remove(client.get(), topic) != 0)
        throw std::runtime_error(aether_errmsg());
}

} // namespace

int main(int argc, char **argv) {
    try {
        run(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 3);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "cpp_hello: %s\n", error.what());
        return 1;
    }
    return 0;
}
