/* use.cpp: a program with the installed asqueue.hpp. It has a class, a call, and an exception both
 * ways. */
#include <asqueue.hpp>

#include <cstdio>

static asqueue::class_builder doubler =
    asqueue::class_builder("Doubler").method("twice", "n", [](int n) {
        if (n < 0)
            throw std::invalid_argument("below zero");
        return 2 * n;
    });

int main()
try {
    asqueue::client c("local:");
    c.add(doubler);
    asqueue::agent a = c.create("Doubler");
    if (a.call<int>("twice", 21) != 42)
        return 1;
    try {
        a.call("twice", -1);
        return 1;
    } catch (const asqueue::error &e) {
        return e.what() == std::string("below zero") ? 0 : 1;
    }
} catch (const std::exception &e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
