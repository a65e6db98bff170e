/*
 * bank.cpp: asqueue from C++17. It has a class whose agents are objects of a C++ type, methods with
 * typed arguments, exceptions as failures, and a map and reduce over unfinished results. With
 * -DBANK_PLUGIN it is a plugin for as-worker instead of a program:
 *
 *     c++ -std=c++17 -o bank bank.cpp $(pkg-config --cflags --libs asqueue) && ./bank
 *     c++ -std=c++17 -DBANK_PLUGIN -shared -fPIC -o bank.so bank.cpp $(pkg-config --cflags --libs asqueue)
 *
 * The program runs without a deployment: with ASQUEUE_URL=local: in its own process, without a URL
 * on a private Redis.
 */
#include <asqueue.hpp>

#include <cinttypes>
#include <cstdio>
#include <numeric>

/* An account. Its methods know nothing of asqueue: an exception becomes the call's failure. */
class account
{
  public:
    explicit account(std::string owner, std::int64_t cents = 0)
        : owner_(std::move(owner)), cents_(cents)
    {
    }
    std::int64_t deposit(std::int64_t cents)
    {
        if (cents <= 0)
            throw std::invalid_argument("a deposit is more than nothing");
        return cents_ += cents;
    }
    std::int64_t withdraw(std::int64_t cents)
    {
        cents_ -= cents; /* restored when the call fails */
        if (cents_ < 0)
            throw asqueue::error(ASQ_EUSER(1), owner_ + " has not got that much");
        return cents_;
    }
    const std::string &owner() const { return owner_; }
    std::int64_t cents() const { return cents_; }

  private:
    std::string owner_;
    std::int64_t cents_;
};

/* Converts an account to its saved state and back. The state is saved with each call's result. */
template <> struct asqueue::codec<account> {
    static value to(const account &a)
    {
        return map({ { "owner", a.owner() }, { "cents", a.cents() } });
    }
    static account from(view v)
    {
        return account(v["owner"].as<std::string>(), v["cents"].as<std::int64_t>());
    }
};

/* The class, at a fixed address while it is registered. */
static const asqueue::class_builder &account_class()
{
    static asqueue::class_of<account> cls =
        asqueue::class_of<account>("Account", "An account, in cents.")
            .create("owner, cents",
                    [](const std::string &owner, std::optional<std::int64_t> cents) {
                        return account(owner, cents.value_or(0));
                    })
            .method("deposit", "cents", &account::deposit, 0, "Adds cents; gives the balance.")
            .method("withdraw", "cents", &account::withdraw, 0, "Takes cents; gives the balance.")
            .method("balance", "", &account::cents, ASQ_READONLY, "The balance.")
            .computed("owner", &account::owner);
    return cls;
}

/* A class without state, which adds up the balances in its arguments. */
static const asqueue::class_builder &auditor_class()
{
    static asqueue::class_builder cls =
        asqueue::class_builder("Auditor", "Adds up balances.")
            .method("total", "balances", [](const std::vector<std::int64_t> &balances) {
                return std::accumulate(balances.begin(), balances.end(), std::int64_t{ 0 });
            });
    return cls;
}

#ifdef BANK_PLUGIN

ASQ_PLUGIN
{
    return asqueue::plugin(plugin, account_class(), auditor_class());
}

#else

int main()
try {
    asqueue::client bank; /* ASQUEUE_URL, else a private Redis and workers */
    bank.add(account_class());
    bank.add(auditor_class());

    std::vector<asqueue::agent> accounts;
    for (const char *owner : { "Ada", "Ben", "Cleo" })
        accounts.push_back(bank.create("Account", owner, 1000));
    asqueue::agent auditor = bank.create("Auditor");

    /* Map: each call returns at once. Reduce: the worker awaits the results for the auditor's
     * call. */
    asqueue::value balances;
    std::int64_t cents = 0;
    for (const asqueue::agent &a : accounts)
        balances.append(a.async<std::int64_t>("deposit", cents += 100));
    std::printf("in all: %" PRId64 "\n", auditor.call<std::int64_t>("total", balances));

    try {
        accounts[0].call("withdraw", 5000);
    } catch (const asqueue::error &e) {
        std::printf("%s.%s: %s (%d)\n", e.class_name().c_str(), e.method().c_str(), e.what(),
                    e.code());
    }
    std::printf("%s still has %" PRId64 "\n", accounts[0].get<std::string>("owner").c_str(),
                accounts[0].call<std::int64_t>("balance"));
    return 0;
} catch (const asqueue::error &e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}

#endif
