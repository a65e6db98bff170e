/*
 * check_cpp.cpp URL: uses asqueue.hpp as its users do: values both ways, typed methods, classes
 * with and without a C++ type for their state, failures as exceptions in both directions. cpp.sh
 * builds it with each installed compiler and standard, and runs it in each mode. Prints errors;
 * returns 0 without any.
 */
#include <asqueue.hpp>

#include <cstdio>
#include <iostream>

static int wrong;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::cerr << __FILE__ << ":" << __LINE__ << ": not so: " << #condition << "\n";        \
            wrong++;                                                                               \
        }                                                                                          \
    } while (0)
#define CHECK_EQUAL(is, wanted)                                                                    \
    do {                                                                                           \
        const auto is_ = (is);                                                                     \
        if (!(is_ == (wanted))) {                                                                  \
            std::cerr << __FILE__ << ":" << __LINE__ << ": " << #is << " is " << is_ << "\n";      \
            wrong++;                                                                               \
        }                                                                                          \
    } while (0)
/* Checks that an expression fails; the error's text has to contain `part`. */
#define CHECK_THROWS(expression, wanted, part)                                                     \
    do {                                                                                           \
        try {                                                                                      \
            expression;                                                                            \
            std::cerr << __FILE__ << ":" << __LINE__ << ": no failure: " << #expression << "\n";   \
            wrong++;                                                                               \
        } catch (const asqueue::error &e_) {                                                       \
            CHECK_EQUAL(e_.code(), wanted);                                                        \
            if (std::string(e_.what()).find(part) == std::string::npos) {                          \
                std::cerr << __FILE__ << ":" << __LINE__ << ": the text is: " << e_.what()         \
                          << "\n";                                                                 \
                wrong++;                                                                           \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/* ---- classes --------------------------------------------------------------------------------- */

struct point {
    int x = 0, y = 0;
};
template <> struct asqueue::codec<point> {
    static value to(const point &p) { return list(p.x, p.y); }
    static point from(view v) { return { v[0].as<int>(), v[1].as<int>() }; }
};

struct odd_exception {
};

static asqueue::class_builder tester =
    asqueue::class_builder("Tester", "Tries what C++ can do.")
        .method("add", "n",
                [](asqueue::context &ctx, std::int64_t n) {
                    auto state = ctx.state();
                    state.set("sum", state.get<std::int64_t>("sum") + n);
                    return state.get<std::int64_t>("sum");
                })
        .method("steps", "",
                [](asqueue::context &ctx) {
                    std::int64_t before = ctx.now();
                    int n = ctx.step("count", [] { return 41; });
                    ctx.step("nothing", [] {});
                    try {
                        ctx.step("fail", [] { throw asqueue::error(ASQ_EUSER(7), "no luck"); });
                    } catch (const asqueue::error &e) {
                        n += e.code() == ASQ_EUSER(7) &&
                             std::string(e.what()).find("no luck") != std::string::npos;
                    }
                    return ctx.now() >= before && ctx.random() != ctx.random() ? n : 0;
                })
        .method("add_and_throw", "n",
                [](asqueue::context &ctx, std::int64_t n) {
                    ctx.state().set("sum", n);
                    throw std::runtime_error("it went wrong after " + std::to_string(n));
                })
        .method("throw_code", "", [] { throw asqueue::error(ASQ_EUSER(7), "no luck"); })
        .method("throw_odd", "", [] { throw odd_exception(); })
        .method(
            "throw_inline", "", [] { throw std::out_of_range("inline"); }, ASQ_NONBLOCKING)
        .method("mirror", "",
                [](point p) {
                    return point{ p.y, p.x };
                })
        .method(
            "optional", "a, b",
            [](std::string a, std::optional<int> b) { return a + std::to_string(b.value_or(-1)); })
        .method("count", "", [](const asqueue::arguments &all) { return all.size(); })
        .method("words", "m",
                [](const std::map<std::string, std::vector<double>> &m) {
                    std::map<std::string, std::size_t> sizes;
                    for (const auto &[word, values] : m)
                        sizes[word] = values.size();
                    return sizes;
                })
        .method("forward", "to, n",
                [](asqueue::context &ctx, asqueue::view to, int n) {
                    return ctx.handle().attach(to).call<std::int64_t>("add", n);
                })
        .method("emit", "n",
                [](asqueue::context &ctx, int n) {
                    for (int i = 0; i < n; i++)
                        ctx.emit(i);
                    return n;
                })
        .method("be_told", "by, n",
                [](asqueue::context &ctx, asqueue::view by, int n) {
                    auto r = ctx.handle().attach(by).async<int>("emit", n);
                    int sum = 0;
                    r.on_emit(
                        [&](const asqueue::emission &e) { sum += e.is_value() ? e.as<int>() : 0; });
                    return r.get() == n ? sum : -1;
                })
        .method("publish", "by, n",
                [](asqueue::context &ctx, asqueue::view by, int n) {
                    ctx.state().set("sum", n);
                    ctx.publish();
                    ctx.state().set("sum", n + 1);
                    return ctx.handle().attach(by).call<int>("peek", ctx.agent_id());
                })
        .method("peek", "id",
                [](asqueue::context &ctx, std::string id) {
                    return ctx.handle().attach(id).get<int>("twice");
                })
        .method("type", "v", [](asqueue::view v) { return asq_type_name(v.type()); })
        .attribute("sum", ASQ_WRITABLE)
        .computed(
            "twice", [](asqueue::context &ctx) { return 2 * ctx.state().get<int>("sum"); },
            "Read also while a method runs.", ASQ_LIVE);

/* Copies copy the value; each agent has a T of its own. */
class gauge
{
  public:
    explicit gauge(int limit) : limit_(limit) {}
    int raise(int by)
    {
        level_ += by;
        if (level_ > limit_)
            throw std::overflow_error("above " + std::to_string(limit_));
        return level_;
    }
    int level() const noexcept { return level_; }
    int limit_, level_ = 0;
};
template <> struct asqueue::codec<gauge> {
    static value to(const gauge &g) { return list(g.limit_, g.level_); }
    static gauge from(view v)
    {
        gauge g(v[0].as<int>());
        g.level_ = v[1].as<int>();
        return g;
    }
};
static asqueue::class_of<gauge> gauge_class =
    asqueue::class_of<gauge>("Gauge")
        .create("limit",
                [](int limit) {
                    if (limit < 0)
                        throw std::domain_error("a negative limit");
                    return gauge(limit);
                })
        .method("raise", "by", &gauge::raise)
        .method("raise_twice", "by",
                [](gauge &g, asqueue::context &, int by) {
                    g.raise(by);
                    return g.raise(by);
                })
        .computed("level", &gauge::level);

/* A C table of a class, with a function that throws. */
static int raw_throw(asq_ctx *, void *, const asq_value *, asq_value **)
{
    throw std::logic_error("out of a plain function");
}
static const asq_method raw_methods[] = {
    { "throw", asqueue::shim<raw_throw>, nullptr, 0, nullptr }, {}
};

static asq_class raw_class()
{
    asq_class c{};
    c.size = sizeof c;
    c.method_size = sizeof(asq_method);
    c.attribute_size = sizeof(asq_attribute);
    c.name = "Raw";
    c.methods = raw_methods;
    return c;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void values_go_both_ways()
{
    using asqueue::value;
    CHECK_EQUAL(value(nullptr).json(), "null");
    CHECK_EQUAL(value(true).json(), "true");
    CHECK_EQUAL(value(std::string("a\0b", 3)).as<std::string>().size(), 3u);
    const value text("text"); /* the view refers to the value's bytes */
    CHECK_EQUAL(text.as<std::string_view>(), "text");
    CHECK_EQUAL(value(1.5).as<double>(), 1.5);
    CHECK_EQUAL(value(3).as<double>(), 3.0);
    CHECK_EQUAL(value(std::vector<int>{ 1, 2 }).json(), "[1,2]");
    CHECK_EQUAL(value(std::optional<int>()).json(), "null");
    CHECK(!value(nullptr).as<std::optional<int>>());
    CHECK_EQUAL((value(std::map<std::string, bool>{ { "k", false } }).json()), "{\"k\":false}");
    CHECK_EQUAL(asqueue::list(1, "two", 3.5, nullptr).json(), "[1,\"two\",3.5,null]");
    CHECK_EQUAL(asqueue::map({ { "a", 1 }, { "b", asqueue::list() } }).json(),
                "{\"a\":1,\"b\":[]}");
    CHECK_EQUAL(value::from_json("[{\"a\": 2}]")[0]["a"].as<int>(), 2);
    CHECK_THROWS(value("x").as<int>(), ASQ_ETYPE, "int expected, string found");
    CHECK_THROWS(value(300).as<std::uint8_t>(), ASQ_ELIMIT, "300");
    CHECK_THROWS(value(-1).as<std::uint64_t>(), ASQ_ELIMIT, "-1");
    CHECK_THROWS(value(UINT64_MAX), ASQ_ELIMIT, "range");
    CHECK_THROWS(value("\xff"), ASQ_EINVAL, "UTF-8");
    CHECK_THROWS(value::from_json("{"), ASQ_EPARSE, "line 1");
    value a = asqueue::list(1), b = a;
    b.append(2);
    CHECK(a != b && a.size() == 1 && b.size() == 2);
}

static void methods_have_types(const asqueue::client &c)
{
    asqueue::agent t = c.create("Tester");
    t.send("add", 40);
    auto r = t.async<std::int64_t>("add", 2);
    CHECK_EQUAL(r.get(), 42);
    CHECK_EQUAL(t.get<int>("sum"), 42);
    CHECK_EQUAL(t.call<int>("steps"), 42);
    CHECK_EQUAL(t.get<int>("twice"), 84);
    t.set("sum", 5);
    CHECK_EQUAL(t.call<int>("add", asqueue::named({ { "n", 1 } })), 6);
    CHECK_EQUAL(t.call<point>("mirror", point{ 1, 2 }).x, 2);
    CHECK_EQUAL(t.call<std::string>("optional", "a", 7), "a7");
    CHECK_EQUAL(t.call<std::string>("optional", "a"), "a-1");
    CHECK_EQUAL(t.call<int>("count", 1, 2, 3), 3);
    CHECK_EQUAL((t.call<std::map<std::string, int>>(
                    "words", std::map<std::string, std::vector<double>>{ { "w", { 1, 2 } } })["w"]),
                2);
    CHECK_THROWS(t.call("add", "x"), ASQ_EARGS, "Tester.add(n): n: int expected, string found");
    CHECK_THROWS(t.call("add"), ASQ_EARGS, "Tester.add(n): n: missing");
    CHECK_THROWS(t.call("add", 1, 2), ASQ_EARGS, "surplus");
    CHECK_THROWS(t.call("throw_code", 1), ASQ_EARGS, "surplus");
    CHECK_THROWS(t.call("add", asqueue::named({ { "m", 1 } })), ASQ_EARGS, "\"m\"");
    CHECK_THROWS(t.call("nothing_like_it"), ASQ_ENOMETHOD, "nothing_like_it");
    CHECK_EQUAL(t.get<int>("sum"), 6);
}

static asqueue::class_builder placed =
    asqueue::class_builder("Placed").attribute("x").pool("special");

static void a_class_has_a_pool(const asqueue::client &c)
{
    CHECK_EQUAL(std::string(c.create_as("Placed", "one").id()), "special/one");
    asq_create_options options = asqueue::create_options();
    options.id = "two";
    options.pool = "default";
    CHECK_EQUAL(std::string(c.create_with("Placed", options).id()), "default/two");
}

static void exceptions_become_failures_and_back(const asqueue::client &c)
{
    asqueue::agent t = c.create("Tester"), raw = c.create("Raw");
    t.call("add", 3);
    CHECK_THROWS(t.call("add_and_throw", 9), ASQ_EFAILED, "it went wrong after 9");
    CHECK_EQUAL(t.get<int>("sum"), 3); /* put back */
    CHECK_THROWS(t.call("throw_code"), ASQ_EUSER(7), "no luck");
    CHECK_THROWS(t.call("throw_odd"), ASQ_EFAILED, "no std::exception");
    CHECK_THROWS(t.call("throw_inline"), ASQ_EFAILED, "inline");
    CHECK_THROWS(raw.call("throw"), ASQ_EFAILED, "out of a plain function");
    try {
        t.call("throw_code");
    } catch (const asqueue::error &e) {
        CHECK_EQUAL(e.class_name(), "Tester");
        CHECK_EQUAL(e.method(), "throw_code");
        CHECK_EQUAL(e.agent_id(), t.id());
        CHECK(!e.call_id().empty());
    }
    /* The process has survived. */
    CHECK_EQUAL(t.call<int>("add", 1), 4);
}

static void a_type_of_ones_own_is_the_state(const asqueue::client &c)
{
    asqueue::agent g = c.create("Gauge", 10),
                   h = c.create("Gauge", asqueue::named({ { "limit", 3 } }));
    CHECK_EQUAL(g.call<int>("raise", 4), 4);
    CHECK_EQUAL(g.call<int>("raise_twice", 2), 8);
    CHECK_THROWS(g.call("raise_twice", 2), ASQ_EFAILED, "above 10");
    CHECK_EQUAL(g.get<int>("level"), 8);
    CHECK_EQUAL(h.call<int>("raise", 1), 1);
    asqueue::agent bad = c.create_as("Gauge", nullptr, -1);
    CHECK_THROWS(bad.ready(), ASQ_EFAILED, "a negative limit");
    asqueue::agent surplus = c.create("Gauge", asqueue::named({ { "limit", 1 }, { "limt", 2 } }));
    CHECK_THROWS(surplus.ready(), ASQ_EARGS, "limt");
}

static void results_are_arguments(const asqueue::client &c)
{
    asqueue::agent a = c.create("Tester"), b = c.create("Tester");
    auto one = a.async<std::int64_t>("add", 1);
    CHECK_EQUAL(b.call<int>("add", one), 1);
    std::vector<asqueue::result<int>> parts;
    asqueue::value list;
    for (int i = 0; i < 5; i++) {
        parts.push_back(a.async<int>("add", 1));
        list.append(parts.back());
    }
    CHECK_EQUAL(b.call<std::string>("type", asqueue::unawaited(parts[0])), "future");
    CHECK_EQUAL(b.call<std::string>("type", parts[0]), "int");
    CHECK_EQUAL(b.call<std::string>("type", list), "list");
    asqueue::group g(c.native());
    for (auto &p : parts)
        g.add(p);
    int given = 0;
    while (asqueue::any_result *r = g.next())
        given += r->done();
    CHECK_EQUAL(given, 5);
    /* A method calls an agent that it is given. */
    CHECK_EQUAL(a.call<int>("forward", b, 4), 5);
}

static void a_live_attribute_is_read_while_a_method_runs(const asqueue::client &c)
{
    asqueue::agent a = c.create("Tester"), b = c.create("Tester");
    CHECK_EQUAL(a.call<int>("publish", b, 20), 40);
    CHECK_EQUAL(a.get<int>("twice"), 42);
}

static void what_a_call_emits_is_read_and_told(const asqueue::client &c)
{
    asqueue::agent a = c.create("Tester"), b = c.create("Tester");
    std::string text;
    auto read = a.async<int>("emit", 3);
    for (auto e = read.next(); e && !e->is_end(); e = read.next()) {
        CHECK(e->is_value() && !e->is_again() && e->missed() == 0);
        text += e->get().json() + " ";
    }
    CHECK_EQUAL(text, "0 1 2 ");
    CHECK_EQUAL(read.get(), 3);
    CHECK_THROWS(read.on_emit([](const asqueue::emission &) {}), ASQ_ESTATE, "asq_result_next");

    text.clear();
    auto tell = [&](const asqueue::emission &e) {
        text += e.is_end() ? "end" : e.get().json() + " ";
    };
    auto told = a.async<int>("emit", 2);
    told.on_emit(tell);
    CHECK_THROWS(told.next(), ASQ_ESTATE, "callback");
    auto moved = std::move(told);
    CHECK_EQUAL(moved.get(), 2);
    CHECK_EQUAL(text, "0 1 end");

    /* What a function throws comes out of the wait, once. */
    auto thrown = a.async<int>("emit", 3);
    int times = 0;
    thrown.on_emit([&](const asqueue::emission &) {
        times++;
        throw asqueue::error(ASQ_EUSER(3), "enough");
    });
    CHECK_THROWS(thrown.get(), ASQ_EUSER(3), "enough");
    CHECK_EQUAL(thrown.get(), 3);
    CHECK_EQUAL(times, 1);

    /* A function may destroy the result, and itself with it. */
    auto gone = std::make_unique<asqueue::result<int>>(a.async<int>("emit", 3));
    times = 0;
    gone->on_emit([&times, &gone, kept = std::make_shared<int>(1)](const asqueue::emission &) {
        gone.reset();
        times += *kept;
    });
    CHECK_EQUAL(a.call<int>("emit", 1), 1);
    while (gone)
        asq_poll(c.native(), 100);
    CHECK_EQUAL(times, 1);
    CHECK_EQUAL(a.call<int>("be_told", b, 4), 6);
}

static void a_deployment_is_looked_at_and_paused(const asqueue::client &c, bool has_redis)
{
    asq_stats_options own = asqueue::stats_options();
    own.own = true;
    own.method = "steps";
    CHECK_EQUAL(c.stats(&own)["total"]["calls"].as<int>(), 1);
    own.points = true;
    CHECK_THROWS(c.stats(&own), ASQ_EINVAL, "points");
    if (!has_redis) {
        CHECK_THROWS(c.stats(), ASQ_ENOTSUP, "local mode");
        CHECK_THROWS(c.pause("Tester"), ASQ_ENOTSUP, "local mode");
        return;
    }
    CHECK(c.stats()["now"].has("processes"));
    c.pause("Tester");
    c.pause();
    CHECK_EQUAL(c.paused().size(), 2u);
    CHECK_EQUAL(c.paused()[1]["class"].as<std::string>(), "Tester");
    c.resume();
    c.resume("Tester");
    CHECK_EQUAL(c.paused().size(), 0u);
    CHECK_THROWS(c.pause("no class"), ASQ_EINVAL, "no class");
}

int main(int argc, char **argv)
try {
    asqueue::value nothing;
    CHECK_EQUAL(nothing.json(), "null");
    values_go_both_ways();
    static asq_class raw = raw_class();
    asqueue::client c(argc > 1 ? argv[1] : "local:");
    c.add(tester);
    c.add(gauge_class);
    c.add(placed);
    asqueue::check(asq_register(c.native(), &raw), c.native());
    methods_have_types(c);
    a_class_has_a_pool(c);
    exceptions_become_failures_and_back(c);
    a_type_of_ones_own_is_the_state(c);
    results_are_arguments(c);
    a_live_attribute_is_read_while_a_method_runs(c);
    what_a_call_emits_is_read_and_told(c);
    a_deployment_is_looked_at_and_paused(c, argc > 1 && std::string(argv[1]) != "local:");
    CHECK_THROWS(asqueue::client("nonsense:"), ASQ_EINVAL, "nonsense");
    return wrong ? 1 : 0;
} catch (const std::exception &e) {
    std::cerr << "not caught: " << e.what() << "\n";
    return 1;
}
