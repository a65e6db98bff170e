/*
 * asqueue.hpp: asqueue for C++17 and newer. A thin layer over asqueue.h, header only, installed
 * beside it: handles that free themselves, values from and to standard types, methods as functions
 * with typed arguments, and errors as exceptions, both ways. native() gives access to everything
 * else.
 *
 *     #include <asqueue.hpp>
 *     static asqueue::class_builder adder = asqueue::class_builder("Adder")
 *         .method("add", "n", [](asqueue::context &ctx, std::int64_t n) {
 *             auto state = ctx.state();                       // saved with the result
 *             state.set("sum", state.get<std::int64_t>("sum") + n);
 *             return state.get<std::int64_t>("sum");
 *         });
 *
 *     try {
 *         asqueue::client c;                                  // ASQUEUE_URL, else child:
 *         c.add(adder);
 *         asqueue::agent a = c.create("Adder");
 *         a.send("add", 40);
 *         auto r = a.async<std::int64_t>("add", 2);           // returns at once
 *         std::cout << r.get() << '\n';                       // waits: 42
 *     } catch (const asqueue::error &e) {
 *         std::cerr << e.what() << '\n';                      // what failed, where, what to do
 *     }
 *
 * Conventions, in addition to those of asqueue.h:
 *
 * - The namespace is asqueue: `asq` is the C handle's type.
 * - Functions that fail throw asqueue::error, with the code, the text and the details of the
 *   failure. Catch it in main: an exception that is not caught ends the program (std::terminate).
 * - Objects are moved, not copied, and free their contents. Agents and results may outlive their
 *   client: the library keeps a handle until its last agent and result are freed. They belong to
 *   one thread at a time, like the handle.
 * - Exceptions from a method, a creation, an attribute or a state function are caught before they
 *   reach C: the call fails with the code of an asqueue::error, else ASQ_EFAILED, and what() as the
 *   text; the state is restored as for every failure. A method written as a plain C function in a
 *   table of its own has to be wrapped: asqueue::shim<function>. Otherwise an exception reaches
 *   frames of C, and ends the process (std::terminate) with every call that runs in it.
 * - A method runs on a fiber: many fibers share a thread, and a waiting one lets others run. So do
 *   not wait (for a call, a result, a sleep) inside of a catch block, or in a destructor that runs
 *   while an exception is under way, because C++ keeps exceptions by thread and not by fiber. Copy
 *   what you need, leave the block, then wait.
 * - Classes are built once and must not move until the client is closed, the worker has ended, or,
 *   in a plugin, ever: make them static.
 *
 * Since 0.1.0, all of it.
 */
#ifndef ASQUEUE_HPP
#define ASQUEUE_HPP

#include "asqueue.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#if !defined(__cpp_exceptions) && !defined(__EXCEPTIONS)
#error "asqueue.hpp needs exceptions; without them use asqueue.h"
#endif

namespace asqueue
{

/* ------------------------------------------------------------------------------------------------
 * Errors
 */

/* A failure: what() is its message. The strings are empty where they do not apply. Thrown in a
 * method it fails the call with its code: asqueue::error(ASQ_EUSER(3), "no luck"). */
class error : public std::runtime_error
{
  public:
    error(int code, const std::string &message)
        : std::runtime_error(message), code_(code < 0 ? code : ASQ_EFAILED)
    {
    }
    explicit error(const asq_error &e)
        : std::runtime_error(e.message), code_(e.code), class_name_(e.class_name),
          method_(e.method), agent_id_(e.agent_id), worker_(e.worker), call_id_(e.call_id)
    {
    }
    int code() const noexcept { return code_; }
    const std::string &class_name() const noexcept { return class_name_; }
    const std::string &method() const noexcept { return method_; }
    const std::string &agent_id() const noexcept { return agent_id_; }
    const std::string &worker() const noexcept { return worker_; }
    const std::string &call_id() const noexcept { return call_id_; }

  private:
    int code_;
    std::string class_name_, method_, agent_id_, worker_, call_id_;
};

/* Returns rc; if it is negative, throws the handle's last error, or the code with its own text. */
inline int check(int rc, const asq *h = nullptr)
{
    if (rc >= 0)
        return rc;
    const asq_error *last = h ? asq_last_error(h) : nullptr;
    if (last && last->code == rc)
        throw error(*last);
    throw error(rc, asq_strerror(rc));
}

/* ------------------------------------------------------------------------------------------------
 * Values
 *
 * codec<T> converts a T to a value and back. Codecs exist for nullptr, bool, integers (out of an
 * int64_t's or of T's range: ASQ_ELIMIT), double, float, std::string, std::string_view, const char
 * *, std::optional (null), std::vector (list), std::map and std::unordered_map of strings (map),
 * value, view, agent, and result (a future, awaited if it is an argument). const char *, agent and
 * result are converted to a value only; handle::attach makes an agent of a view. For a type of your
 * own:
 *
 *     template <> struct asqueue::codec<point> {
 *         static asqueue::value to(const point &p) { return asqueue::list(p.x, p.y); }
 *         static point from(asqueue::view v) { return { v[0].as<int>(), v[1].as<int>() }; }
 *     };
 */
template <class T, class = void> struct codec;
class view;
class value;
class agent;
class client;
template <class T> class result;

/* A borrowed value, to be read; valid as long as its owner. */
class view
{
  public:
    view(const asq_value *v = nullptr) noexcept : v_(v) {}
    inline view(const value &v) noexcept;
    asq_type type() const noexcept { return asq_value_type(v_); }
    bool is_null() const noexcept { return type() == ASQ_NULL; }
    /* Returns the number of elements of a list or a map; else 0. */
    std::size_t size() const noexcept
    {
        return type() == ASQ_MAP ? asq_map_size(v_) : asq_list_size(v_);
    }
    /* Return the element of a list or a map, borrowed from the same owner; a null view if there is
     * none. */
    view operator[](std::size_t i) const noexcept { return asq_list_get(v_, i); }
    view operator[](int i) const noexcept
    {
        return i < 0 ? nullptr : asq_list_get(v_, static_cast<std::size_t>(i));
    }
    view operator[](const char *key) const noexcept { return asq_map_get(v_, key); }
    view operator[](const std::string &key) const noexcept { return asq_map_get(v_, key.c_str()); }
    /* Returns whether a map has the key. */
    bool has(const char *key) const noexcept { return asq_map_get(v_, key) != nullptr; }
    /* Converts the value by codec<T>. Throws ASQ_ETYPE (it has another type), ASQ_ELIMIT (it is out
     * of T's range). */
    template <class T> T as() const { return codec<T>::from(*this); }
    /* Makes a deep copy, which the caller owns. */
    inline value copy() const;
    /* Returns the value as JSON, compact or indented by `indent` spaces; see asq_to_json. */
    std::string json(int indent = 0) const
    {
        char *text = nullptr;
        check(asq_to_json(v_, indent, &text));
        std::unique_ptr<char, void (*)(void *)> owner(text, std::free);
        return text;
    }
    const asq_value *native() const noexcept { return v_; }

  private:
    const asq_value *v_;
};

/* An owned value. A copy is a deep one. */
class value
{
  public:
    value() noexcept = default; /* null */
    explicit value(asq_value *taken) noexcept : v_(taken) {}
    /* Converts a T by its codec. */
    template <class T, class = std::enable_if_t<!std::is_same_v<std::decay_t<T>, value> &&
                                                !std::is_same_v<std::decay_t<T>, asq_value *>>>
    value(const T &from) : value(codec<std::decay_t<T>>::to(from))
    {
    }
    value(value &&other) noexcept : v_(other.release()) {}
    value(const value &other) : v_(asq_value_copy(other.v_))
    {
        if (other.v_ && !v_)
            throw std::bad_alloc();
    }
    value &operator=(value other) noexcept
    {
        std::swap(v_, other.v_);
        return *this;
    }
    ~value() { asq_value_free(v_); }

    /* Reads JSON; see asq_from_json. Throws ASQ_EPARSE with line and column, ASQ_ELIMIT. */
    static value from_json(std::string_view text)
    {
        char why[300] = "";
        asq_value *v = nullptr;
        int rc = asq_from_json(text.data(), text.size(), &v, why, sizeof why);
        if (rc < 0)
            throw error(rc, why);
        return value(v);
    }
    /* Makes a value of n bytes, which are copied. */
    static value bytes(const void *data, std::size_t n) { return made(asq_value_bytes(data, n)); }

    /* Add to a list, set in a map; a null value becomes a list or a map. Throw ASQ_ETYPE if the
     * value has another type. */
    value &append(value item)
    {
        if (!v_)
            v_ = made(asq_value_list()).release();
        check(asq_list_append(v_, item.give()));
        return *this;
    }
    value &set(const std::string &key, value item)
    {
        if (!v_)
            v_ = made(asq_value_map()).release();
        check(asq_map_set(v_, key.c_str(), item.give()));
        return *this;
    }
    view get() const noexcept { return view(v_); }
    asq_type type() const noexcept { return asq_value_type(v_); }
    std::size_t size() const noexcept { return get().size(); }
    template <class K> view operator[](const K &key) const noexcept { return get()[key]; }
    template <class T> T as() const { return get().as<T>(); }
    std::string json(int indent = 0) const { return get().json(indent); }
    friend bool operator==(const value &a, const value &b) noexcept
    {
        return asq_value_equal(a.v_, b.v_);
    }
    friend bool operator!=(const value &a, const value &b) noexcept { return !(a == b); }

    const asq_value *native() const noexcept { return v_; }
    /* Hand the value over to the caller, who frees it, and leave null here. give() never returns
     * NULL. */
    asq_value *release() noexcept { return std::exchange(v_, nullptr); }
    asq_value *give() noexcept { return v_ ? release() : asq_value_null(); }
    /* Takes a value made by a constructor of asqueue.h; throws ASQ_EINVAL if it is NULL. */
    static value made(asq_value *v)
    {
        if (!v)
            throw error(ASQ_EINVAL, "a value cannot be made: it is no UTF-8, or memory is short");
        return value(v);
    }

  private:
    asq_value *v_ = nullptr;
};

inline view::view(const value &v) noexcept : v_(v.native()) {}
inline value view::copy() const
{
    return v_ ? value::made(asq_value_copy(v_)) : value();
}

/* Make a list of the arguments; a map: asqueue::map({{"url", url}, {"depth", 2}}). If a map is the
 * only argument of a call, its elements are arguments by name. */
template <class... T> value list(const T &...items)
{
    value v = value::made(asq_value_list());
    (v.append(value(items)), ...);
    return v;
}
inline value map(std::initializer_list<std::pair<const char *, value>> pairs = {})
{
    value v = value::made(asq_value_map());
    for (const auto &p : pairs)
        v.set(p.first, p.second);
    return v;
}
/* Makes arguments by name: a.call<int>("add", asqueue::named({{"n", 2}})). */
struct named {
    value arguments;
    named(std::initializer_list<std::pair<const char *, value>> pairs) : arguments(map(pairs)) {}
};

namespace detail
{

[[noreturn]] inline void wrong_type(const char *expected, view v)
{
    throw error(ASQ_ETYPE,
                std::string(expected) + " expected, " + asq_type_name(v.type()) + " found");
}

template <class T> struct is_optional : std::false_type {
};
template <class T> struct is_optional<std::optional<T>> : std::true_type {
};

} // namespace detail

template <> struct codec<value> {
    static value to(const value &v) { return v; }
    static value from(view v) { return v.copy(); }
};
template <> struct codec<view> {
    static value to(view v) { return v.copy(); }
    static view from(view v) { return v; }
};
template <> struct codec<std::nullptr_t> {
    static value to(std::nullptr_t) { return value(); }
    static std::nullptr_t from(view v)
    {
        return v.is_null() ? nullptr : (detail::wrong_type("null", v), nullptr);
    }
};
template <> struct codec<bool> {
    static value to(bool b) { return value::made(asq_value_bool(b)); }
    static bool from(view v)
    {
        bool b = false;
        if (asq_value_get_bool(v.native(), &b) < 0)
            detail::wrong_type("bool", v);
        return b;
    }
};
template <class T> struct codec<T, std::enable_if_t<std::is_integral_v<T>>> {
    static value to(T i)
    {
        if constexpr (std::is_unsigned_v<T> && sizeof(T) >= sizeof(std::int64_t))
            if (i > static_cast<T>(std::numeric_limits<std::int64_t>::max()))
                throw error(ASQ_ELIMIT, std::to_string(i) + " is beyond the range of a 64-bit int");
        return value::made(asq_value_int(static_cast<std::int64_t>(i)));
    }
    static T from(view v)
    {
        std::int64_t i = 0;
        if (asq_value_get_int(v.native(), &i) < 0)
            detail::wrong_type("int", v);
        const T t = static_cast<T>(i);
        if (static_cast<std::int64_t>(t) != i || (std::is_unsigned_v<T> && i < 0))
            throw error(ASQ_ELIMIT, std::to_string(i) + " is beyond the range of the type");
        return t;
    }
};
template <class T> struct codec<T, std::enable_if_t<std::is_floating_point_v<T>>> {
    static value to(T d) { return value::made(asq_value_double(static_cast<double>(d))); }
    static T from(view v)
    {
        double d = 0;
        if (asq_value_get_double(v.native(), &d) < 0)
            detail::wrong_type("double", v);
        return static_cast<T>(d);
    }
};
/* from() borrows: the string_view is valid as long as the value. */
template <> struct codec<std::string_view> {
    static value to(std::string_view s)
    {
        return value::made(asq_value_stringn(s.data() ? s.data() : "", s.size()));
    }
    static std::string_view from(view v)
    {
        const char *s = nullptr;
        std::size_t n = 0;
        if (asq_value_get_string(v.native(), &s, &n) < 0)
            detail::wrong_type("string", v);
        return std::string_view(s, n);
    }
};
template <> struct codec<std::string> {
    static value to(const std::string &s) { return codec<std::string_view>::to(s); }
    static std::string from(view v) { return std::string(codec<std::string_view>::from(v)); }
};
template <> struct codec<const char *> {
    static value to(const char *s) { return s ? codec<std::string_view>::to(s) : value(); }
};
template <> struct codec<char *> : codec<const char *> {
};
template <class T> struct codec<std::optional<T>> {
    static value to(const std::optional<T> &o) { return o ? codec<T>::to(*o) : value(); }
    static std::optional<T> from(view v)
    {
        return v.is_null() ? std::nullopt : std::optional<T>(codec<T>::from(v));
    }
};
template <class T, class A> struct codec<std::vector<T, A>> {
    static value to(const std::vector<T, A> &items)
    {
        value list = value::made(asq_value_list());
        for (const auto &item : items)
            list.append(codec<T>::to(item));
        return list;
    }
    static std::vector<T, A> from(view v)
    {
        if (v.type() != ASQ_LIST)
            detail::wrong_type("list", v);
        std::vector<T, A> items;
        items.reserve(v.size());
        for (std::size_t i = 0; i < v.size(); i++)
            items.push_back(codec<T>::from(v[i]));
        return items;
    }
};

namespace detail
{

template <class M> struct map_codec {
    static value to(const M &pairs)
    {
        value map = value::made(asq_value_map());
        for (const auto &[key, item] : pairs)
            map.set(key, codec<typename M::mapped_type>::to(item));
        return map;
    }
    static M from(view v)
    {
        if (v.type() != ASQ_MAP)
            wrong_type("map", v);
        M pairs;
        for (std::size_t i = 0; i < v.size(); i++) {
            const char *key = nullptr;
            const asq_value *item = asq_map_at(v.native(), i, &key);
            pairs.emplace(key, codec<typename M::mapped_type>::from(item));
        }
        return pairs;
    }
};

} // namespace detail

template <class T, class C, class A>
struct codec<std::map<std::string, T, C, A>> : detail::map_codec<std::map<std::string, T, C, A>> {
};
template <class T, class H, class E, class A>
struct codec<std::unordered_map<std::string, T, H, E, A>>
    : detail::map_codec<std::unordered_map<std::string, T, H, E, A>> {
};

/* ------------------------------------------------------------------------------------------------
 * Agents and results, for their callers
 */

/* What a call has emitted, or what is told instead of a value; see asq_result_next. */
class emission
{
  public:
    emission(int what, value v) noexcept : what_(what), value_(std::move(v)) {}
    bool is_value() const noexcept { return what_ == ASQ_NEXT_VALUE; }
    /* The call runs again: what came before is void. */
    bool is_again() const noexcept { return what_ == ASQ_NEXT_AGAIN; }
    /* So many values that come next are not kept any more; 0: it is something else. */
    std::int64_t missed() const { return what_ == ASQ_NEXT_MISSED ? as<std::int64_t>() : 0; }
    /* The call has ended, and nothing comes behind this. */
    bool is_end() const noexcept { return what_ == ASQ_NEXT_END; }
    /* The value; null if it is something else. */
    const asqueue::value &get() const noexcept { return value_; }
    template <class T> T as() const { return value_.as<T>(); }

  private:
    int what_;
    asqueue::value value_;
};

/* The result of one call, of any type. */
class any_result
{
  public:
    any_result() noexcept = default;
    explicit any_result(asq *h, asq_result *taken) noexcept : h_(h), r_(taken) {}
    /* Returns whether the result is completed; never waits. */
    bool done() const { return asq_result_done(r_.get()); }
    /* Waits. False: not completed within timeout_ms; the call goes on. Throws the call's
     * failure. */
    bool wait(std::int64_t timeout_ms = ASQ_FOREVER) const
    {
        int rc = asq_result_wait(r_.get(), timeout_ms);
        fail_if_told();
        if (rc == ASQ_ETIMEOUT && !asq_result_done(r_.get()))
            return false;
        fail_if(rc);
        return true;
    }
    /* Waits, for at most the handle's timeout. The view lives as long as the result. Throws the
     * call's failure, ASQ_ETIMEOUT. */
    view get_view() const
    {
        const asq_value *v = nullptr;
        int rc = asq_result_value(r_.get(), &v);
        fail_if_told();
        fail_if(rc);
        return v;
    }
    /* Gets what the call emits next, its end included; nullopt: nothing came within timeout_ms.
     * See asq_result_next. */
    std::optional<emission> next(std::int64_t timeout_ms = ASQ_FOREVER) const
    {
        asq_value *v = nullptr;
        int rc = asq_result_next(r_.get(), &v, timeout_ms);
        if (rc == ASQ_ETIMEOUT)
            return std::nullopt;
        return emission(check(rc, h_), value(v));
    }
    /* Has f called with each emission, the end included, while somebody waits for this or any other
     * result of the handle; see asq_result_on_emit. An exception of f, or an error of the reading,
     * ends that, and is thrown by the next wait(), get_view() or get() of this result. Destroying
     * the result ends it, too. */
    void on_emit(std::function<void(const emission &)> f)
    {
        auto w = std::make_shared<watcher>(h_, std::move(f));
        check(asq_result_on_emit(r_.get(), watcher::tell, w.get()), h_);
        watcher_ = std::move(w);
    }
    /* Asks the owner to cancel the call; see asq_result_cancel. */
    void cancel() const { fail_if(asq_result_cancel(r_.get())); }
    /* See asq_result_id: ask for the id before the result is there. */
    std::string id() const { return asq_result_id(r_.get()); }
    asq_result *native() const noexcept { return r_.get(); }

  private:
    void fail_if(int rc) const
    {
        if (rc >= 0)
            return;
        const asq_error *e = asq_result_error(r_.get());
        if (e->code == rc)
            throw error(*e);
        check(rc, h_);
    }
    /* Throws what the function of on_emit has thrown. */
    void fail_if_told() const
    {
        if (watcher_ && watcher_->failure)
            std::rethrow_exception(std::exchange(watcher_->failure, nullptr));
    }
    struct free_result {
        void operator()(asq_result *r) const noexcept { asq_result_free(r); }
    };
    struct watcher : std::enable_shared_from_this<watcher> {
        watcher(asq *handle, std::function<void(const emission &)> fn) : h(handle), f(std::move(fn))
        {
        }
        static void tell(asq_result *, int what, const asq_value *v, void *user) noexcept
        {
            auto self = static_cast<watcher *>(user)->shared_from_this(); /* f may destroy it */
            if (self->over)
                return;
            try {
                check(what, self->h);
                self->f(emission(what, v ? view(v).as<value>() : value()));
            } catch (...) {
                self->over = true;
                self->failure = std::current_exception();
            }
        }
        asq *h;
        std::function<void(const emission &)> f;
        std::exception_ptr failure;
        bool over = false;
    };
    asq *h_ = nullptr;
    std::shared_ptr<watcher> watcher_; /* freed behind the result, which calls it */
    std::unique_ptr<asq_result, free_result> r_;
};

/* A result whose value is a T (or void, if only its end matters). */
template <class T> class result : public any_result
{
  public:
    using any_result::any_result;
    /* Waits like get_view(), and converts the value. A view or a string_view lives as long as the
     * result. */
    T get() const
    {
        view v = get_view();
        if constexpr (!std::is_void_v<T>)
            return v.as<T>();
    }
};

/* A result as an argument is a future: the worker waits for it, and the method gets its value. */
template <class T> struct codec<result<T>> {
    static value to(const result<T> &r) { return value::made(asq_value_future(r.native())); }
};
/* Makes an unawaited future: a method with it among its arguments gets the future itself. */
inline value unawaited(const any_result &r)
{
    return value::made(asq_value_future_unawaited(r.native()));
}

namespace detail
{

template <class... A> value pack_args(const A &...args)
{
    if constexpr (sizeof...(A) == 0)
        return value();
    else
        return list(args...);
}
inline value pack_args(const named &n)
{
    return n.arguments;
}

} // namespace detail

/* A proxy for one agent. Freeing it leaves the agent alone; remove() ends the agent. */
class agent
{
  public:
    agent() noexcept = default;
    explicit agent(asq_agent *taken) noexcept : a_(taken) {}
    std::string id() const { return asq_agent_id(a_.get()); }
    /* Returns the class's name; "" if it is unknown. */
    std::string class_name() const { return asq_agent_class(a_.get()); }

    /* Calls and waits, for at most the handle's timeout: a.call<int>("add", 2). Without a type,
     * returns nothing. Throws the call's failure. */
    template <class T = void, class... A> T call(const char *method, const A &...args) const
    {
        return async<T>(method, args...).get();
    }
    /* Calls and returns at once; wait for the result later, or pass it to another call as an
     * argument. */
    template <class T = void, class... A>
    result<T> async(const char *method, const A &...args) const
    {
        return async_with<T>(nullptr, method, args...);
    }
    /* Calls like async(), with options (nullptr: defaults; borrowed for the call). */
    template <class T = void, class... A>
    result<T> async_with(const asq_call_options *options, const char *method,
                         const A &...args) const
    {
        asq_result *r = nullptr;
        value v = detail::pack_args(args...);
        check(asq_callv(a_.get(), method, options, v.release(), &r), handle());
        return result<T>(handle(), r);
    }
    /* Makes a call without a result; see asq_send. */
    template <class... A> void send(const char *method, const A &...args) const
    {
        value v = detail::pack_args(args...);
        check(asq_callv(a_.get(), method, nullptr, v.release(), nullptr), handle());
    }
    /* Read and write an attribute, waiting for at most the handle's timeout. get() needs a T that
     * owns its value: no view, no string_view. */
    template <class T> T get(const char *attribute) const
    {
        asq_value *v = nullptr;
        check(asq_get(a_.get(), attribute, &v), handle());
        return value(v).as<T>();
    }
    template <class T> void set(const char *attribute, const T &to) const
    {
        check(asq_set(a_.get(), attribute, value(to).give()), handle());
    }
    /* Waits until the agent is created. Throws the creation's failure, ASQ_ENOAGENT,
     * ASQ_ETIMEOUT. */
    void ready(std::int64_t timeout_ms = ASQ_FOREVER) const
    {
        check(asq_ready(a_.get(), timeout_ms), handle());
    }
    /* Deletes the agent after its earlier calls, and waits for the outcome; see asq_delete. */
    void remove(std::int64_t timeout_ms = ASQ_FOREVER) const
    {
        check(asq_delete(a_.get(), timeout_ms), handle());
    }
    /* Sets a timer that calls a method, and removes it; see asq_schedule, asq_unschedule. */
    template <class... A>
    void schedule(const char *name, const asq_timer &timer, const char *method,
                  const A &...args) const
    {
        value v = detail::pack_args(args...);
        check(asq_schedulev(a_.get(), name, &timer, method, v.release()), handle());
    }
    void unschedule(const char *name) const { check(asq_unschedule(a_.get(), name), handle()); }
    /* Sends a signal, with a value that codec knows, or without; see asq_signal. */
    void signal(const char *name) const { check(asq_signal(a_.get(), name, nullptr), handle()); }
    template <class T> void signal(const char *name, const T &v) const
    {
        check(asq_signal(a_.get(), name, value(v).give()), handle());
    }
    asq_agent *native() const noexcept { return a_.get(); }
    asq *handle() const noexcept { return asq_agent_handle(a_.get()); }

  private:
    struct free_agent {
        void operator()(asq_agent *a) const noexcept { asq_agent_free(a); }
    };
    std::unique_ptr<asq_agent, free_agent> a_;
};

template <> struct codec<agent> {
    static value to(const agent &a) { return value::made(asq_value_agent(a.native())); }
};

/* Returns results as they complete. Results are borrowed: each must stay valid until next() has
 * returned it. */
class group
{
  public:
    explicit group(asq *h) : h_(h)
    {
        asq_group *g = nullptr;
        check(asq_group_new(h, &g), h);
        g_.reset(g);
    }
    /* Adds a result without a callback and of no other group. */
    void add(any_result &r)
    {
        check(asq_group_add(g_.get(), r.native()), h_);
        members_[r.native()] = &r;
    }
    /* Returns the number of results that next() has not returned yet. */
    std::size_t pending() const noexcept { return asq_group_pending(g_.get()); }
    /* Returns the next completed result; NULL after the last one. Throws ASQ_ETIMEOUT. */
    any_result *next(std::int64_t timeout_ms = ASQ_FOREVER)
    {
        asq_result *r = nullptr;
        int rc = asq_group_next(g_.get(), timeout_ms, &r);
        if (rc == ASQ_ENOENT)
            return nullptr;
        check(rc, h_);
        return members_[r];
    }

  private:
    struct free_group {
        void operator()(asq_group *g) const noexcept { asq_group_free(g); }
    };
    asq *h_;
    std::unique_ptr<asq_group, free_group> g_;
    std::unordered_map<asq_result *, any_result *> members_;
};

/* Returns the default options: ASQ_CREATE_OPTIONS_INIT for C++17. */
inline asq_create_options create_options() noexcept
{
    asq_create_options o{};
    o.size = sizeof o;
    return o;
}

/* Creates and attaches agents on a borrowed handle, such as a method's. */
class handle
{
  public:
    explicit handle(asq *h = nullptr) noexcept : h_(h) {}
    /* Creates an agent with a random id: create("Counter", 40),
     * create("Counter", asqueue::named({{"start", 40}})). */
    template <class... A> agent create(const char *class_name, const A &...args) const
    {
        return create_as(class_name, nullptr, args...);
    }
    /* Creates an agent with this id (nullptr: a random one). Returns at once; ready() or the first
     * call throws the failure of the creation. */
    template <class... A>
    agent create_as(const char *class_name, const char *id, const A &...args) const
    {
        asq_agent *a = nullptr;
        value v = detail::pack_args(args...);
        check(asq_createv(h_, class_name, id, v.release(), &a), h_);
        return agent(a);
    }
    /* Creates an agent, or uses an existing one of this id and class as it is. */
    template <class... A>
    agent get_or_create(const char *class_name, const char *id, const A &...args) const
    {
        asq_agent *a = nullptr;
        value v = detail::pack_args(args...);
        check(asq_get_or_create(h_, class_name, id, v.release(), &a), h_);
        return agent(a);
    }
    /* Creates an agent that may end by itself; see asq_create_with, create_options(). */
    template <class... A>
    agent create_with(const char *class_name, const asq_create_options &options,
                      const A &...args) const
    {
        asq_agent *a = nullptr;
        value v = detail::pack_args(args...);
        check(asq_create_with(h_, class_name, &options, v.release(), &a), h_);
        return agent(a);
    }
    /* Deletes agents by their ids, and returns how many could not be deleted; with `no_wait` when
     * Redis has accepted the deletions. See asq_delete_many. */
    int delete_many(const std::vector<std::string> &ids, bool no_wait = false) const
    {
        std::vector<const char *> texts;
        texts.reserve(ids.size());
        for (const std::string &id : ids)
            texts.push_back(id.c_str());
        asq_delete_options o{};
        o.size = sizeof o;
        o.no_wait = no_wait;
        return check(asq_delete_many(h_, texts.size(), texts.data(), &o), h_);
    }
    /* Makes a proxy for an existing agent, without asking Redis. */
    agent attach(const std::string &id) const
    {
        asq_agent *a = nullptr;
        check(asq_attach(h_, id.c_str(), &a), h_);
        return agent(a);
    }
    /* Makes a proxy for the agent to which a value refers, such as an argument of a method. */
    agent attach(view v) const
    {
        asq_agent *a = nullptr;
        check(asq_attach_value(h_, v.native(), &a), h_);
        return agent(a);
    }
    /* Makes a result for a call id; see asq_result_attach. */
    template <class T = void> result<T> attach_result(const std::string &call_id) const
    {
        asq_result *r = nullptr;
        check(asq_result_attach(h_, call_id.c_str(), &r), h_);
        return result<T>(h_, r);
    }
    /* Settle a promise; see asq_promise_resolve, asq_promise_reject. */
    template <class T> void resolve(const std::string &id, T &&v) const
    {
        check(asq_promise_resolve(h_, id.c_str(),
                                  codec<std::decay_t<T>>::to(std::forward<T>(v)).release()),
              h_);
    }
    void reject(const std::string &id, const std::string &message, int code = ASQ_EREJECTED) const
    {
        check(asq_promise_reject(h_, id.c_str(), code, message.c_str()), h_);
    }
    /* Waits until Redis has accepted all calls; throws failures of calls without a result; see
     * asq_flush. */
    void flush(std::int64_t timeout_ms = ASQ_FOREVER) const
    {
        check(asq_flush(h_, timeout_ms), h_);
    }
    /* Sleeps for ms milliseconds, processing arriving results. */
    void sleep(std::int64_t ms) const { check(asq_sleep(h_, ms), h_); }
    asq *native() const noexcept { return h_; }

  protected:
    asq *h_;
};

class class_builder;

/* Returns the default options: ASQ_STATS_OPTIONS_INIT for C++17. */
inline asq_stats_options stats_options() noexcept
{
    asq_stats_options o{};
    o.size = sizeof o;
    return o;
}

/* An owned handle; see asq_open. The destructor closes it, and cannot report lost calls: call
 * flush() before, or give the options a log. */
class client : public handle
{
  public:
    explicit client(const char *url = nullptr, const asq_options *options = nullptr)
    {
        char why[512] = "";
        int rc = asq_open(url, options, &h_, why, sizeof why);
        if (rc < 0)
            throw error(rc, why);
    }
    client(client &&other) noexcept : handle(std::exchange(other.h_, nullptr)) {}
    client &operator=(client &&other) noexcept
    {
        std::swap(h_, other.h_);
        return *this;
    }
    client(const client &) = delete;
    client &operator=(const client &) = delete;
    ~client() { asq_close(h_); }
    /* Registers a class for local and child mode; the class must not move until the client is
     * closed. */
    inline void add(const class_builder &c) const;
    void add(const class_builder &&) const = delete;
    /* Returns the URL of the deployment, with its password; see asq_url. */
    std::string url() const { return asq_url(h_); }
    /* Tells the deployment's figures of the last minute, or what the options choose; see
     * asq_stats. */
    value stats(const asq_stats_options *options = nullptr) const
    {
        asq_value *v = nullptr;
        check(asq_stats(h_, options, &v), h_);
        return value(v);
    }
    /* Pause a class, or with nullptr the namespace, and end that; see asq_pause, asq_resume. */
    void pause(const char *class_name = nullptr) const { check(asq_pause(h_, class_name), h_); }
    void resume(const char *class_name = nullptr) const { check(asq_resume(h_, class_name), h_); }
    /* Lists the timers of an agent, or with nullptr all; see asq_schedules. */
    value schedules(const char *agent_id = nullptr) const
    {
        asq_value *v = nullptr;
        check(asq_schedules(h_, agent_id, &v), h_);
        return value(v);
    }
    /* Lists the signals to an agent that were not heard yet; see asq_signals. */
    value signals(const char *agent_id) const
    {
        asq_value *v = nullptr;
        check(asq_signals(h_, agent_id, &v), h_);
        return value(v);
    }
    /* Lists what is paused; see asq_paused. */
    value paused() const
    {
        asq_value *v = nullptr;
        check(asq_paused(h_, &v), h_);
        return value(v);
    }
};

/* Moves a namespace to another Redis or a Cluster, and returns the report; see asq_migrate. */
inline value migrate(const char *from, const char *to, const asq_migrate_options *options = nullptr)
{
    char err[1024];
    asq_value *report = nullptr;
    int rc = asq_migrate(from, to, options, &report, err, sizeof err);
    value v(report);
    if (rc < 0)
        throw error(rc, err);
    return v;
}

/* ------------------------------------------------------------------------------------------------
 * Agents, for their authors
 */

/* Library-held state, or any map, borrowed and changed in place. */
class state_ref
{
  public:
    explicit state_ref(asq_value *map) noexcept : map_(map) {}
    /* Returns the value of a key, or `otherwise` if the map does not have it. */
    template <class T> T get(const char *key, T otherwise = T()) const
    {
        const asq_value *v = asq_map_get(map_, key);
        return v ? codec<T>::from(v) : otherwise;
    }
    template <class T> void set(const char *key, const T &to) const
    {
        check(asq_map_set(map_, key, value(to).give()));
    }
    void erase(const char *key) const noexcept { asq_map_remove(map_, key); }
    view get_view() const noexcept { return map_; }
    asq_value *native() const noexcept { return map_; }

  private:
    asq_value *map_;
};

/* The context of a running method and its call: asq_ctx, valid until the method returns. Each
 * function does what asq_ctx_… of its name does. */
class context
{
  public:
    explicit context(asq_ctx *ctx) noexcept : ctx_(ctx) {}
    state_ref state() const noexcept { return state_ref(asq_ctx_state(ctx_)); }
    void set_state(value v) const { check(asq_ctx_set_state(ctx_, v.give())); }
    void keep_state() const noexcept { asq_ctx_keep_state(ctx_); }
    /* Returns the handle for calls of the method; an uncaught error of such a call fails this
     * one. */
    asqueue::handle handle() const { return asqueue::handle(asq_ctx_handle(ctx_)); }
    agent self() const
    {
        asq_agent *a = nullptr;
        check(asq_ctx_self(ctx_, &a), asq_ctx_handle(ctx_));
        return agent(a);
    }
    std::string call_id() const { return asq_ctx_call_id(ctx_); }
    std::string agent_id() const { return asq_ctx_agent_id(ctx_); }
    std::uint32_t attempt() const noexcept { return asq_ctx_attempt(ctx_); }
    std::uint64_t epoch() const noexcept { return asq_ctx_epoch(ctx_); }
    /* The trace that the call belongs to, borrowed until the method ends; parent is null if it
     * belongs to none. */
    asq_trace trace() const
    {
        asq_trace t = { nullptr, nullptr };
        int rc = asq_ctx_trace(ctx_, &t);
        check(rc == ASQ_ENOENT ? 0 : rc, asq_ctx_handle(ctx_));
        return t;
    }
    std::int64_t remaining_ms() const noexcept { return asq_ctx_remaining_ms(ctx_); }
    bool canceled() const noexcept { return asq_ctx_canceled(ctx_); }
    /* Durable from one second on. See asq_ctx_sleep. */
    void sleep(std::int64_t ms) const { check(asq_ctx_sleep(ctx_, ms), asq_ctx_handle(ctx_)); }
    /* Runs f, which takes nothing, once: when the call runs again, its recorded value is returned,
     * or its recorded failure thrown. See asq_step. */
    template <class F>
    auto step(const std::string &name, F &&f, const asq_step_options *options = nullptr) const;
    /* The time (Unix, ms) and a random number, the same when the call runs again. */
    std::int64_t now() const
    {
        std::int64_t ms = 0;
        check(asq_ctx_now(ctx_, &ms), asq_ctx_handle(ctx_));
        return ms;
    }
    std::uint64_t random() const
    {
        std::uint64_t number = 0;
        check(asq_ctx_random(ctx_, &number, sizeof number), asq_ctx_handle(ctx_));
        return number;
    }
    /* Waits for a signal to the agent; with nullopt none has come in time. See
     * asq_ctx_next_signal. */
    std::optional<value> next_signal(const char *name, std::int64_t timeout_ms = ASQ_FOREVER) const
    {
        asq_value *v = nullptr;
        int rc = asq_ctx_next_signal(ctx_, name, &v, timeout_ms);
        if (rc == ASQ_ETIMEOUT)
            return std::nullopt;
        check(rc, asq_ctx_handle(ctx_));
        return value(v);
    }
    /* Publishes the attributes that are ASQ_LIVE, for whoever reads them meanwhile; see
     * asq_ctx_publish. */
    void publish() const { check(asq_ctx_publish(ctx_), asq_ctx_handle(ctx_)); }
    /* Emits a value while the call runs, for whoever waits for it; see asq_emit. */
    void emit(value v) const { check(asq_emit(ctx_, v.give()), asq_ctx_handle(ctx_)); }
    /* Makes a promise, which is waited for as a call is; see asq_promise_new. */
    template <class T = void> result<T> promise() const
    {
        asq_result *r = nullptr;
        check(asq_promise_new(ctx_, &r), asq_ctx_handle(ctx_));
        return result<T>(asq_ctx_handle(ctx_), r);
    }
    /* Waits until r is there, with a limit that holds across runs. False: the time is up. See
     * asq_ctx_wait; the outcome is r.get(). */
    template <class T> bool wait(const result<T> &r, std::int64_t timeout_ms) const
    {
        int rc = asq_ctx_wait(ctx_, r.native(), timeout_ms);
        if (rc < 0 && rc != ASQ_ETIMEOUT && !asq_result_done(r.native()))
            check(rc, asq_ctx_handle(ctx_));
        return asq_result_done(r.native());
    }
    void log(asq_log_level level, const std::string &text) const
    {
        asq_ctx_log(ctx_, level, "%s", text.c_str());
    }
    asq_ctx *native() const noexcept { return ctx_; }

  private:
    asq_ctx *ctx_;
};

/* All arguments unchanged: the last parameter of a method that takes any. */
struct arguments : view {
    using view::view;
};

namespace detail
{

/* Runs f. An exception fails the call, and ends here. */
template <class F> int guard(asq_ctx *ctx, F &&f) noexcept
{
    try {
        f();
        return 0;
    } catch (const error &e) {
        return asq_fail(ctx, e.code(), "%s", e.what());
    } catch (const std::bad_alloc &) {
        return asq_fail(ctx, ASQ_ENOMEM, "out of memory");
    } catch (const std::exception &e) {
        return asq_fail(ctx, ASQ_EFAILED, "%s", e.what());
    } catch (...) {
        return asq_fail(ctx, ASQ_EFAILED, "an exception of a type that is no std::exception");
    }
}

/* The parameters of a function, a function object, a member function. */
template <class F> struct signature : signature<decltype(&F::operator())> {
};
template <class R, class... A> struct signature<R (*)(A...)> {
    using result = R;
    using parameters = std::tuple<A...>;
};
template <class R, class C, class... A> struct signature<R (C::*)(A...)> : signature<R (*)(A...)> {
};
template <class R, class C, class... A>
struct signature<R (C::*)(A...) const> : signature<R (*)(A...)> {
};
template <class R, class... A> struct signature<R (*)(A...) noexcept> : signature<R (*)(A...)> {
};
template <class R, class C, class... A>
struct signature<R (C::*)(A...) noexcept> : signature<R (*)(A...)> {
};
template <class R, class C, class... A>
struct signature<R (C::*)(A...) const noexcept> : signature<R (*)(A...)> {
};

/* Arguments in the order of the parameters, from a list or a map. */
class ordered
{
  public:
    /* names: "url, depth", for arguments by name; or empty. */
    ordered(view args, const std::string &names) : args_(args), names_(names)
    {
        if (args.type() != ASQ_MAP)
            return;
        std::size_t used = 0;
        for (const std::string &name : split(names)) {
            used += args.has(name.c_str());
            by_name_.push_back(args[name]);
        }
        named_ = true;
        for (std::size_t i = 0; used < args.size() && i < args.size(); i++) {
            const char *key = nullptr;
            asq_map_at(args.native(), i, &key);
            if ((" " + separated(names) + " ").find(" " + std::string(key) + " ") ==
                std::string::npos)
                throw error(ASQ_EARGS,
                            "unknown argument \"" + std::string(key) +
                                "\"; known arguments: " + (names.empty() ? "none" : names));
        }
    }
    std::size_t size() const noexcept { return named_ ? by_name_.size() : args_.size(); }
    view operator[](std::size_t i) const noexcept
    {
        return named_ ? i < by_name_.size() ? by_name_[i] : view() : args_[i];
    }
    view all() const noexcept { return args_; }
    /* The name of argument i, for messages; "[i]" if it has none. */
    std::string name_of(std::size_t i) const
    {
        const std::vector<std::string> names = split(names_);
        return i < names.size() ? names[i] : "[" + std::to_string(i) + "]";
    }

  private:
    static std::vector<std::string> split(const std::string &names)
    {
        std::vector<std::string> all;
        for (std::size_t at = 0; at < names.size();) {
            std::size_t from = names.find_first_not_of(", \t\n", at);
            if (from == std::string::npos)
                break;
            at = names.find_first_of(", \t\n", from);
            at = at == std::string::npos ? names.size() : at;
            all.push_back(names.substr(from, at - from));
        }
        return all;
    }
    static std::string separated(std::string names)
    {
        for (char &c : names)
            if (c == ',' || c == '\t' || c == '\n')
                c = ' ';
        return names;
    }
    view args_;
    const std::string &names_;
    std::vector<view> by_name_;
    bool named_ = false;
};

template <class P> auto parameter(const ordered &args, std::size_t i)
{
    using T = std::decay_t<P>;
    if constexpr (std::is_same_v<T, arguments>) {
        return arguments(args.all().native());
    } else {
        static_assert(!std::is_lvalue_reference_v<P> || std::is_const_v<std::remove_reference_t<P>>,
                      "a method's parameter is a value or a const reference");
        if (!args[i].native() && !is_optional<T>::value && !std::is_same_v<T, view>)
            throw error(ASQ_EARGS, args.name_of(i) + ": missing");
        try {
            return codec<T>::from(args[i]);
        } catch (const error &e) {
            throw error(ASQ_EARGS, args.name_of(i) + ": " + e.what());
        }
    }
}

template <class Parameters, std::size_t First> struct caller {
    static constexpr std::size_t total = std::tuple_size_v<Parameters>;
    static constexpr std::size_t count = total - First;
    static constexpr bool any = [] {
        if constexpr (count > 0)
            return std::is_same_v<std::decay_t<std::tuple_element_t<total - 1, Parameters>>,
                                  arguments>;
        else
            return false;
    }();
    template <class F, std::size_t... I>
    static decltype(auto) apply(F &&f, const ordered &args, std::index_sequence<I...>)
    {
        /* Braces evaluate from the first to the last, the order that the errors assume. */
        std::tuple<decltype(parameter<std::tuple_element_t<First + I, Parameters>>(args, I))...>
            all{ parameter<std::tuple_element_t<First + I, Parameters>>(args, I)... };
        return std::apply(std::forward<F>(f), std::move(all));
    }
    template <class F> static decltype(auto) call(F &&f, const ordered &args)
    {
        if (!any && args.size() > count)
            throw error(ASQ_EARGS, "surplus argument: " + std::to_string(args.size()) +
                                       " were given, at most " + std::to_string(count) +
                                       " are taken");
        return apply(std::forward<F>(f), args, std::make_index_sequence<count>());
    }
};

template <class T> value to_value(T &&v)
{
    return value(std::forward<T>(v));
}

template <class Parameters, std::size_t I, class Wanted> constexpr bool parameter_is()
{
    if constexpr (I < std::tuple_size_v<Parameters>)
        return std::is_same_v<std::tuple_element_t<I, Parameters>, Wanted &> ||
               std::is_same_v<std::tuple_element_t<I, Parameters>, const Wanted &>;
    else
        return false;
}

/* Calls f(self?, context?, arguments…) and returns its result; self only if Self is not void. */
template <class Self, class F>
decltype(auto) call_typed(F &f, asq_ctx *ctx, Self *self, view args, const std::string &names)
{
    using parameters = typename signature<F>::parameters;
    const ordered given(args, names);
    context c(ctx);
    if constexpr (std::is_member_function_pointer_v<F>) {
        constexpr bool wants_context = parameter_is<parameters, 0, context>();
        return caller<parameters, wants_context>::call(
            [&](auto &&...a) -> decltype(auto) {
                if constexpr (wants_context)
                    return (self->*f)(c, std::forward<decltype(a)>(a)...);
                else
                    return (self->*f)(std::forward<decltype(a)>(a)...);
            },
            given);
    } else {
        constexpr bool wants_self = [] {
            if constexpr (std::is_void_v<Self>)
                return false;
            else
                return parameter_is<parameters, 0, Self>();
        }();
        constexpr bool wants_context = parameter_is<parameters, wants_self, context>();
        return caller<parameters, wants_self + wants_context>::call(
            [&](auto &&...a) -> decltype(auto) {
                if constexpr (wants_self && wants_context)
                    return f(*self, c, std::forward<decltype(a)>(a)...);
                else if constexpr (wants_self)
                    return f(*self, std::forward<decltype(a)>(a)...);
                else if constexpr (wants_context)
                    return f(c, std::forward<decltype(a)>(a)...);
                else
                    return f(std::forward<decltype(a)>(a)...);
            },
            given);
    }
}

/* A step's function, called from C. */
template <class F> int run_step(asq_ctx *ctx, void *user, asq_value **ret) noexcept
{
    return guard(ctx, [&] {
        F &f = *static_cast<F *>(user);
        if constexpr (std::is_void_v<decltype(f())>)
            f();
        else
            *ret = to_value(f()).give();
    });
}

} // namespace detail

template <class F>
auto context::step(const std::string &name, F &&f, const asq_step_options *options) const
{
    using function = std::remove_reference_t<F>;
    using result = std::decay_t<decltype(f())>;
    asq_value *v = nullptr;
    check(asq_step_with(ctx_, name.c_str(), options, detail::run_step<function>,
                        const_cast<void *>(static_cast<const void *>(&f)), &v),
          asq_ctx_handle(ctx_));
    value got(v);
    if constexpr (!std::is_void_v<result>)
        return got.template as<result>();
}

/* Wraps a plain C function as a method that may throw: { "add", asqueue::shim<add>, "n", 0, nullptr
 * }. */
template <asq_method_fn Function>
int shim(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret) noexcept
{
    int rc = 0;
    int thrown = detail::guard(ctx, [&] { rc = Function(ctx, self, args, ret); });
    return thrown < 0 ? thrown : rc;
}

/*
 * Builds a class, member by member, with library-held state (context::state); class_of<T> keeps the
 * state in a T. A method is any function object (or function):
 *
 *     [](asqueue::context &ctx, T1 a, const T2 &b, std::optional<T3> c) -> R
 *
 * The context may be left out. codec converts the arguments; one that does not fit, is missing
 * (unless optional) or surplus fails the call with ASQ_EARGS. `params` ("a, b, c") lets callers
 * name them. A method returns any type that codec knows, or nothing.
 */
class class_builder
{
  public:
    explicit class_builder(std::string name, std::string doc = "") : own_(std::make_unique<parts>())
    {
        own_->name = std::move(name);
        own_->doc = std::move(doc);
    }
    class_builder(class_builder &&) = default;

    template <class F>
    class_builder &&method(std::string name, std::string params, F f, unsigned flags = 0,
                           std::string doc = "") &&
    {
        add_method<void>(std::move(name), std::move(params), std::move(f), flags, std::move(doc));
        return std::move(*this);
    }
    /* Sets the creation function, which sets up the state. Without one, the state is the map of the
     * named arguments. */
    template <class F> class_builder &&create(std::string params, F f) &&
    {
        own_->create = [f = std::move(f), params](asq_ctx *ctx, view args) mutable -> void * {
            detail::call_typed<void>(f, ctx, nullptr, args, params);
            return nullptr;
        };
        return std::move(*this);
    }
    /* Adds an attribute: the value under this name in the state, writable with ASQ_WRITABLE. */
    class_builder &&attribute(std::string name, unsigned flags = 0, std::string doc = "") &&
    {
        own_->attributes.push_back({ std::move(name), std::move(doc), flags, nullptr });
        return std::move(*this);
    }
    /* Adds an attribute that get(context?) computes; flags: ASQ_LIVE, ASQ_NONBLOCKING. */
    template <class F>
    class_builder &&computed(std::string name, F get, std::string doc = "", unsigned flags = 0) &&
    {
        add_computed<void>(std::move(name), std::move(get), std::move(doc), flags);
        return std::move(*this);
    }
    /* Sets the version of the state's layout; initially 0. */
    class_builder &&version(std::uint32_t v) &&
    {
        own_->version = v;
        return std::move(*this);
    }
    /* Sets the upgrade function: f(from_version, value &state) converts the state of a lower
     * version. */
    template <class F> class_builder &&upgrade(F f) &&
    {
        own_->upgrade = std::move(f);
        return std::move(*this);
    }
    /* Sets the bytes of a fiber's stack; 0: the worker's default. */
    class_builder &&stack_size(std::size_t bytes) &&
    {
        own_->stack_size = bytes;
        return std::move(*this);
    }
    /* Sets the pool of agents whose ids name none; see asq_class.pool. */
    class_builder &&pool(std::string name) &&
    {
        own_->pool = std::move(name);
        return std::move(*this);
    }
    /* Returns the table, borrowed. After this, members cannot be added. */
    const asq_class *table() const
    {
        parts &p = *own_;
        if (p.table.size)
            return &p.table;
        for (method_part &m : p.methods)
            p.method_table.push_back({ m.name.c_str(), run_method,
                                       m.params.empty() ? nullptr : m.params.c_str(), m.flags,
                                       m.doc.c_str() });
        p.method_table.push_back({});
        for (attribute_part &a : p.attributes)
            p.attribute_table.push_back({ a.name.c_str(), a.get ? get_attribute : nullptr, nullptr,
                                          a.flags, a.doc.c_str() });
        p.attribute_table.push_back({});
        for (std::size_t i = 0; i < p.methods.size(); i++)
            p.by_name[p.methods[i].name] = i;
        asq_class c{};
        c.size = sizeof c;
        c.method_size = sizeof(asq_method);
        c.attribute_size = sizeof(asq_attribute);
        c.name = p.name.c_str();
        c.doc = p.doc.c_str();
        c.methods = p.method_table.data();
        c.attributes = p.attribute_table.data();
        c.create = p.create ? run_create : nullptr;
        c.destroy = p.destroy;
        c.save = p.save;
        c.load = p.load;
        c.version = p.version;
        c.upgrade = p.upgrade ? run_upgrade : nullptr;
        c.stack_size = p.stack_size;
        c.user = &p;
        c.pool = p.pool.empty() ? nullptr : p.pool.c_str();
        p.table = c;
        return &p.table;
    }

  protected:
    struct method_part {
        std::string name, params, doc;
        unsigned flags;
        std::function<value(asq_ctx *, void *, view)> run;
    };
    struct attribute_part {
        std::string name, doc;
        unsigned flags;
        std::function<value(asq_ctx *, void *)> get;
    };
    /* On the heap, because the table points to it and the builder may move. */
    struct parts {
        std::string name, doc, pool;
        std::vector<method_part> methods;
        std::vector<attribute_part> attributes;
        std::unordered_map<std::string, std::size_t> by_name;
        std::function<void *(asq_ctx *, view)> create;
        std::function<void(std::uint32_t, value &)> upgrade;
        std::function<void *(asq_ctx *, view)> load_self;
        void (*destroy)(void *) = nullptr;
        int (*save)(const void *, asq_value **) = nullptr;
        int (*load)(asq_ctx *, const asq_value *, void **) = nullptr;
        std::uint32_t version = 0;
        std::size_t stack_size = 0;
        std::vector<asq_method> method_table;
        std::vector<asq_attribute> attribute_table;
        asq_class table{};
    };
    std::unique_ptr<parts> own_;

    template <class Self, class F>
    void add_method(std::string name, std::string params, F f, unsigned flags, std::string doc)
    {
        method_part part{ std::move(name), params, std::move(doc), flags, nullptr };
        part.run = [f = std::move(f), params](asq_ctx *ctx, void *self,
                                              view args) mutable -> value {
            using R = typename detail::signature<F>::result;
            Self *typed = static_cast<Self *>(self);
            if constexpr (std::is_void_v<R>) {
                detail::call_typed<Self>(f, ctx, typed, args, params);
                return value();
            } else {
                return value(detail::call_typed<Self>(f, ctx, typed, args, params));
            }
        };
        own_->methods.push_back(std::move(part));
    }
    template <class Self, class F>
    void add_computed(std::string name, F get, std::string doc, unsigned flags)
    {
        own_->attributes.push_back(
            { std::move(name), std::move(doc), flags,
              [get = std::move(get)](asq_ctx *ctx, void *self) mutable -> value {
                  return value(
                      detail::call_typed<Self>(get, ctx, static_cast<Self *>(self), view(), ""));
              } });
    }

  private:
    static parts &of(asq_ctx *ctx) noexcept { return *static_cast<parts *>(asq_ctx_user(ctx)); }
    static int run_method(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret) noexcept
    {
        return detail::guard(ctx, [&] {
            parts &p = of(ctx);
            method_part &m = p.methods[p.by_name.at(asq_ctx_method(ctx))];
            try {
                *ret = m.run(ctx, self, args).give();
            } catch (const error &e) {
                if (e.code() != ASQ_EARGS || !e.class_name().empty())
                    throw;
                throw error(ASQ_EARGS, p.name + "." + m.name + "(" + m.params + "): " + e.what());
            }
        });
    }
    static int get_attribute(asq_ctx *ctx, void *self, asq_value **ret) noexcept
    {
        return detail::guard(ctx, [&] {
            for (attribute_part &a : of(ctx).attributes)
                if (a.get && a.name == asq_ctx_method(ctx)) {
                    *ret = a.get(ctx, self).give();
                    return;
                }
            throw error(ASQ_ENOATTR, "no such attribute");
        });
    }
    static int run_create(asq_ctx *ctx, const asq_value *args, void **ret_self) noexcept
    {
        return detail::guard(ctx, [&] { *ret_self = of(ctx).create(ctx, args); });
    }
    static int run_upgrade(asq_ctx *ctx, std::uint32_t from, asq_value **state) noexcept
    {
        return detail::guard(ctx, [&] {
            value v = view(*state).copy();
            of(ctx).upgrade(from, v);
            asq_value_free(*state);
            *state = v.give();
        });
    }
};

/*
 * Builds a class whose agents are objects of T. Methods are member functions, or functions that
 * take a T & first:
 *
 *     asqueue::class_of<counter>("Counter").create("start", [](int start) { return counter(start); })
 *         .method("add", "n", &counter::add)
 *
 * codec<counter> saves the state with each call, and loads it. Attributes of such a class are
 * computed(); attribute() is for library-held state.
 */
template <class T> class class_of : public class_builder
{
  public:
    explicit class_of(std::string name, std::string doc = "")
        : class_builder(std::move(name), std::move(doc))
    {
        own_->create = [](asq_ctx *, view args) -> void * {
            if constexpr (std::is_default_constructible_v<T>) {
                if (args.size())
                    throw error(ASQ_EARGS, "the class takes no creation arguments");
                return new T();
            } else {
                throw error(ASQ_ESTATE, "the class has no create function");
            }
        };
        own_->destroy = [](void *self) { delete static_cast<T *>(self); };
        own_->save = [](const void *self, asq_value **ret) -> int {
            try {
                *ret = codec<T>::to(*static_cast<const T *>(self)).give();
                return 0;
            } catch (const error &e) {
                return e.code();
            } catch (...) {
                return ASQ_EFAILED;
            }
        };
        own_->load = [](asq_ctx *ctx, const asq_value *state, void **ret_self) -> int {
            return detail::guard(ctx, [&] { *ret_self = new T(codec<T>::from(view(state))); });
        };
    }
    template <class F>
    class_of &&method(std::string name, std::string params, F f, unsigned flags = 0,
                      std::string doc = "") &&
    {
        add_method<T>(std::move(name), std::move(params), std::move(f), flags, std::move(doc));
        return std::move(*this);
    }
    /* Sets the creation function: f(context?, arguments…) returns a T. */
    template <class F> class_of &&create(std::string params, F f) &&
    {
        own_->create = [f = std::move(f), params](asq_ctx *ctx, view args) mutable -> void * {
            return new T(detail::call_typed<void>(f, ctx, nullptr, args, params));
        };
        return std::move(*this);
    }
    template <class F>
    class_of &&computed(std::string name, F get, std::string doc = "", unsigned flags = 0) &&
    {
        add_computed<T>(std::move(name), std::move(get), std::move(doc), flags);
        return std::move(*this);
    }
};

inline void client::add(const class_builder &c) const
{
    check(asq_register(h_, c.table()), h_);
}

/* Registers a plugin's classes, which must be static: ASQ_PLUGIN { return asqueue::plugin(plugin,
 * counter, echo); }. Never throws; the worker reports faults of their tables. */
template <class... Classes> int plugin(asq_plugin *p, const Classes &...classes) noexcept
{
    int rc = 0;
    try {
        ((rc = rc < 0 ? rc : asq_plugin_register(p, classes.table())), ...);
    } catch (...) {
        rc = ASQ_ENOMEM;
    }
    return rc;
}

/* ------------------------------------------------------------------------------------------------
 * Workers
 */

/* Returns the default options: ASQ_WORKER_OPTIONS_INIT for C++17. */
inline asq_worker_options worker_options() noexcept
{
    asq_worker_options o{};
    o.size = sizeof o;
    o.log_level = ASQ_LOG_INFO;
    return o;
}

/* A worker in this program; see asq_worker_new. It belongs to one thread; any thread, and a signal
 * handler, may call stop(). */
class worker
{
  public:
    explicit worker(const asq_worker_options &options = worker_options())
    {
        char why[512] = "";
        asq_worker *w = nullptr;
        int rc = asq_worker_new(&options, &w, why, sizeof why);
        if (rc < 0)
            throw error(rc, why);
        w_.reset(w);
    }
    /* Registers a class, before run(); it must not move until the worker is destroyed. */
    void add(const class_builder &c) { fail_if(asq_worker_register(w_.get(), c.table())); }
    void add(const class_builder &&) = delete;
    /* Serves until stopped; see asq_worker_run. */
    void run() { fail_if(asq_worker_run(w_.get())); }
    void stop() noexcept { asq_worker_stop(w_.get()); }
    asq_worker *native() const noexcept { return w_.get(); }

  private:
    void fail_if(int rc) const
    {
        if (rc < 0)
            throw error(rc, asq_worker_errmsg(w_.get()));
    }
    struct free_worker {
        void operator()(asq_worker *w) const noexcept { asq_worker_free(w); }
    };
    std::unique_ptr<asq_worker, free_worker> w_;
};

} // namespace asqueue

#endif
