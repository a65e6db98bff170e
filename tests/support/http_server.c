/*
 * http_server.c: a web server for tests, on a port of 127.0.0.1 that it chooses and prints.
 *
 *     http_server DIR
 *
 * Serves GET only, one request for each connection, in a process for each. The files of DIR are the
 * pages; the suffix determines the type (html, txt, json; else image/png). Parameters make it
 * misbehave on purpose:
 *     /page.html?delay_ms=N     answers after N ms
 *     /page.html?stall          sends the head and half of the page, and then nothing
 *     /endless.txt?endless      sends as long as a client reads (no file needed)
 *     /x?redirect=/page.html    sends the browser there; ?redirect to the same place for ever
 * Ends at SIGTERM, or when its parent ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_REQUEST 8192
#define MAX_PAGE    ((size_t) 1024 * 1024)

static void sleep_ms(long ms)
{
    struct timespec ts = { ms / 1000, (ms % 1000) * 1000000 };
    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        ;
}

/* Ends the process when the reader is gone. */
static void send_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);
        if (sent <= 0)
            _exit(0);
        data += sent;
        n -= (size_t) sent;
    }
}

__attribute__((format(printf, 2, 3))) static void send_text(int fd, const char *fmt, ...)
{
    va_list ap;
    char text[1024];
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t) n < sizeof text)
        send_all(fd, text, (size_t) n);
}

static void answer_status(int fd, const char *status)
{
    send_text(fd,
              "HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: %zu\r\n"
              "Connection: close\r\n\r\n<h1>%s</h1>",
              status, strlen(status) + 9, status);
}

static const char *type_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot && strcmp(dot, ".html") == 0)
        return "text/html; charset=utf-8";
    if (dot && strcmp(dot, ".txt") == 0)
        return "text/plain";
    return dot && strcmp(dot, ".json") == 0 ? "application/json" : "image/png";
}

static void send_endless(int fd)
{
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n");
    for (;;)
        send_text(fd, "and so on and so on and so on and so on and so on and so on and so on\n");
}

static void send_page(int fd, const char *dir, const char *path, bool stall)
{
    char *page = malloc(MAX_PAGE);
    char name[MAX_REQUEST + 512];
    snprintf(name, sizeof name, "%s/%s", dir, path);
    FILE *f;
    if (!page || strstr(path, "..") || !(f = fopen(name, "r"))) {
        answer_status(fd, "404 Not Found");
        free(page);
        return;
    }
    size_t n = fread(page, 1, MAX_PAGE, f);
    fclose(f);
    send_text(fd,
              "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
              "Connection: close\r\n\r\n",
              type_of(path), n);
    send_all(fd, page, stall ? n / 2 : n);
    if (stall)
        pause();
    free(page);
}

static void serve(int fd, const char *dir)
{
    size_t n = 0;
    char request[MAX_REQUEST];
    do {
        ssize_t got = recv(fd, request + n, sizeof request - 1 - n, 0);
        if (got <= 0)
            return;
        n += (size_t) got;
        request[n] = '\0';
    } while (!strstr(request, "\r\n\r\n") && n < sizeof request - 1);

    char path[MAX_REQUEST];
    if (sscanf(request, "GET /%8000[^ ] HTTP/1.", path) != 1) {
        answer_status(fd, "400 Bad Request");
        return;
    }
    char *query = strchr(path, '?');
    if (query)
        *query++ = '\0';
    else
        query = path + strlen(path);
    if (strncmp(query, "delay_ms=", 9) == 0)
        sleep_ms(atol(query + 9));
    if (strcmp(query, "redirect") == 0)
        send_text(fd,
                  "HTTP/1.1 302 Found\r\nLocation: /%.500s?redirect\r\nContent-Length: 0\r\n"
                  "Connection: close\r\n\r\n",
                  path);
    else if (strncmp(query, "redirect=", 9) == 0)
        send_text(fd,
                  "HTTP/1.1 302 Found\r\nLocation: %.500s\r\nContent-Length: 0\r\n"
                  "Connection: close\r\n\r\n",
                  query + 9);
    else if (strcmp(query, "endless") == 0)
        send_endless(fd);
    else
        send_page(fd, dir, path, strcmp(query, "stall") == 0);
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = { .sin_family = AF_INET };
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (argc != 2) {
        fprintf(stderr, "usage: http_server DIR\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN); /* the kernel reaps children */
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *) &a, size) < 0 || listen(fd, 128) < 0 ||
        getsockname(fd, (struct sockaddr *) &a, &size) < 0) {
        perror("http_server");
        return 1;
    }
    printf("%d\n", ntohs(a.sin_port));
    fflush(stdout);
    for (;;) {
        int conn = accept(fd, NULL, NULL);
        if (conn < 0)
            continue;
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(fd);
            serve(conn, argv[1]);
            shutdown(conn, SHUT_WR);
            _exit(0);
        }
        close(conn);
    }
}
