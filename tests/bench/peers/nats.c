/*
 * nats.c: NATS JetStream: calls are published with acknowledgement into a stream kept in memory,
 * the worker acknowledges each and publishes an answer.
 */
#include "peer.h"

#include <nats/nats.h>

static natsConnection *nc;
static jsCtx *js;
static natsSubscription *answers;
static char *payload;
static size_t payload_n;

static void check(natsStatus s, const char *what)
{
    if (s != NATS_OK) {
        fprintf(stderr, "%s: %s\n", what, natsStatus_GetText(s));
        exit(1);
    }
}

/* Connects. By default the library delays messages by 1 ms, to send more at a time. */
static void connect_to(const char *port, int one_at_a_time)
{
    char url[64];
    jsOptions o;
    natsOptions *options;
    snprintf(url, sizeof url, "nats://127.0.0.1:%s", port);
    check(natsOptions_Create(&options), "options");
    check(natsOptions_SetURL(options, url), "options");
    check(natsOptions_SetSendAsap(options, one_at_a_time != 0), "options");
    check(natsConnection_Connect(&nc, options), "connect");
    check(jsOptions_Init(&o), "options");
    o.PublishAsync.MaxPending = 2 * WINDOW;
    check(natsConnection_JetStream(&js, nc, &o), "JetStream");
}

static void on_call(natsConnection *c, natsSubscription *sub, natsMsg *msg, void *closure)
{
    (void) sub;
    (void) closure;
    natsMsg_Ack(msg, NULL);
    natsConnection_Publish(c, "answers", "", 0);
    natsMsg_Destroy(msg);
}

int peer_worker(const char *address, int one_at_a_time)
{
    jsStreamConfig config;
    jsSubOptions o;
    natsSubscription *sub;
    const char *subjects[] = { "calls" };
    connect_to(address, one_at_a_time);
    jsStreamConfig_Init(&config);
    config.Name = "CALLS";
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Storage = js_MemoryStorage;
    config.Retention = js_WorkQueuePolicy;
    /* the stream already exists if a worker ran before */
    js_AddStream(NULL, js, &config, NULL, NULL);
    js_DeleteConsumer(js, "CALLS", "worker", NULL, NULL);
    jsSubOptions_Init(&o);
    o.ManualAck = true;
    o.Config.Durable = "worker";
    o.Config.MaxAckPending = 20000;
    check(js_Subscribe(&sub, js, "calls", on_call, NULL, NULL, &o, NULL), "subscribe");
    for (;;)
        nats_Sleep(1000);
}

int peer_open(const char *address, size_t bytes, int one_at_a_time)
{
    payload = calloc(1, bytes + 1);
    payload_n = bytes;
    connect_to(address, one_at_a_time);
    check(natsConnection_SubscribeSync(&answers, nc, "answers"), "subscribe");
    return payload ? 0 : -1;
}

static int answer(void)
{
    natsMsg *msg;
    if (natsSubscription_NextMsg(&msg, answers, 10000) != NATS_OK)
        return -1;
    natsMsg_Destroy(msg);
    return 0;
}

int peer_one(void)
{
    if (js_PublishAsync(js, "calls", payload, (int) payload_n, NULL) != NATS_OK)
        return -1;
    return answer();
}

int peer_async(const char *address, double seconds, size_t bytes)
{
    unsigned long sent = 0, done = 0;
    struct span span;
    if (peer_open(address, bytes, 0) < 0)
        return 1;
    for (span = span_start(seconds); span_on(&span, done);) {
        while (sent < done + WINDOW) {
            if (js_PublishAsync(js, "calls", payload, (int) payload_n, NULL) != NATS_OK)
                return 1;
            sent++;
        }
        for (int i = 0; i < 64; i++, done++)
            if (answer() < 0)
                return 1;
    }
    span_print(&span, done);
    for (; done < sent; done++)
        if (answer() < 0)
            return 1;
    js_PublishAsyncComplete(js, NULL);
    return 0;
}

PEER_MAIN
