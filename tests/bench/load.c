/* A load generator for RPC over TCP, and a responder that shows its ceiling.
 *
 *   load PORT SECONDS XID PLAN   makes the calls of PLAN (load.py writes it) and prints, as JSON,
 *                                what came back and how long it took
 *   load --answer BYTES          answers every call at once with a success and so many bytes of
 *                                zeros; prints its port
 *
 * A plan has connections, each with lanes; a lane makes its calls in turn, each when the one before
 * has been answered, so the lanes are the calls outstanding. What one read brings is answered by one
 * write. Calls that belong together (CREATE, REMOVE) form a transaction, and a lane only stops
 * behind one. Every reply's RPC and NFS status is looked at; nothing else of it is.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "latency.h"

enum {
    LANES = 256,          /* of one connection; a reply's lane is the low byte of its xid */
    CALL_BYTES = 1024,    /* of a call without its payload */
    QUEUE = 3 * LANES,    /* buffers on their way to the socket */
    READ_BYTES = 1 << 18, /* stays in the processor's cache */
    EVENTS = 64,
    PATIENCE = 30,        /* seconds without a reply */
    HEAD = 28,            /* of a record: as far as nfsstat3 in a reply, the procedure in a call */
    HANDLE_BYTES = 64,
    SEEN = HEAD + 8 + HANDLE_BYTES, /* of a reply: as far as the post_op_fh3 of a new object */
};
static const uint32_t LAST = 0x80000000;

struct call {
    uint32_t size, payload, units;
    uint32_t makes;       /* whether the reply has a handle that the lane's later calls take */
    uint32_t takes, room; /* where that goes in the message and how long it must be, or zeros */
    const unsigned char *message;
};
struct lane {
    const uint32_t *calls; /* indices into the plan's */
    uint32_t count, next, xid;
    bool busy;
    uint64_t sent; /* ns */
    unsigned char record[4 + CALL_BYTES]; /* the call on its way, with its mark */
    unsigned char handle[HANDLE_BYTES];   /* of what it made last */
    uint32_t handle_bytes;
};
struct connection {
    int fd;
    uint32_t events; /* that epoll watches */
    struct lane *lanes;
    struct iovec out[QUEUE];
    int first, filled;
    unsigned char mark[4], head[SEEN]; /* of the record that is arriving */
    uint32_t marked, have, left, slot;
    bool last;
    unsigned char answers[LANES][4 + HEAD]; /* of the responder, in turn by `slot` */
};

static struct {
    uint32_t connections, lanes, stride, cyclic, calls, payload;
} plan;
static struct call *calls;
static const unsigned char *payload; /* of the plan, or what the responder sends */
static uint32_t answer_bytes;
static int poller, busy;
static uint32_t counter;
static uint64_t begun, now, deadline, last_counted; /* ns */
static uint64_t made, counted, units, failed;
static uint32_t failure; /* the first status that is not a success */

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
    exit(1);
}

static uint32_t word(const unsigned char *at) {
    uint32_t value;
    memcpy(&value, at, 4);
    return ntohl(value);
}

static void put(unsigned char *at, uint32_t value) {
    value = htonl(value);
    memcpy(at, &value, 4);
}

static void watch(struct connection *c) {
    uint32_t wanted = EPOLLIN | (c->first < c->filled ? EPOLLOUT : 0);
    struct epoll_event event = {.events = wanted, .data.ptr = c};
    if (wanted == c->events)
        return;
    if (epoll_ctl(poller, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event))
        fail("epoll_ctl");
    c->events = wanted;
}

static void queue(struct connection *c, const void *data, size_t size) {
    if (c->filled == QUEUE) { /* the socket has taken those before `first` */
        c->filled -= c->first;
        memmove(c->out, c->out + c->first, (size_t)c->filled * sizeof *c->out);
        c->first = 0;
    }
    if (c->filled == QUEUE)
        fail("more on its way than can be");
    c->out[c->filled++] = (struct iovec){(void *)(uintptr_t)data, size};
}

static void flush(struct connection *c) {
    while (c->first < c->filled) {
        struct msghdr message = {.msg_iov = c->out + c->first,
                                 .msg_iovlen = (size_t)(c->filled - c->first)};
        ssize_t sent = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0)
            fail("send");
        while (c->first < c->filled && (size_t)sent >= c->out[c->first].iov_len)
            sent -= (ssize_t)c->out[c->first++].iov_len;
        if (sent > 0) {
            struct iovec *rest = c->out + c->first;
            *rest = (struct iovec){(char *)rest->iov_base + sent, rest->iov_len - (size_t)sent};
        }
    }
    if (c->first == c->filled)
        c->first = c->filled = 0;
    watch(c);
}

/* Takes records apart; the head of each is given to `record`, the rest is skipped. */
static void take(struct connection *c, const unsigned char *at, size_t size,
                 void (*record)(struct connection *)) {
    const unsigned char *end = at + size;
    while (at < end) {
        if (c->left == 0) {
            c->mark[c->marked++] = *at++;
            if (c->marked < 4)
                continue;
            c->marked = 0;
            c->last = word(c->mark) & LAST;
            c->left = word(c->mark) & ~LAST;
        }
        uint32_t here = c->left < (size_t)(end - at) ? c->left : (uint32_t)(end - at);
        if (c->have < SEEN) {
            uint32_t more = here < SEEN - c->have ? here : SEEN - c->have;
            memcpy(c->head + c->have, at, more);
            c->have += more;
        }
        at += here;
        c->left -= here;
        if (c->left == 0 && c->last) {
            record(c);
            c->have = 0;
        }
    }
}

static ssize_t receive(struct connection *c, int flags, void (*record)(struct connection *)) {
    static unsigned char buffer[READ_BYTES];
    ssize_t size = recv(c->fd, buffer, sizeof buffer, flags);
    if (size < 0 && errno == EAGAIN && flags)
        return size;
    if (size < 0)
        fail("receive");
    now = nanoseconds();
    take(c, buffer, (size_t)size, record);
    return size;
}

/* Makes the next call of a lane, unless the lane is done or may stop and shall. */
static void advance(struct connection *c, uint32_t number) {
    struct lane *lane = c->lanes + number;
    if (lane->next == lane->count && plan.cyclic)
        lane->next = 0;
    if (lane->next == lane->count || (lane->next % plan.stride == 0 && now >= deadline)) {
        busy -= lane->busy;
        lane->busy = false;
        return;
    }
    const struct call *call = calls + lane->calls[lane->next++];
    busy += !lane->busy;
    lane->busy = true;
    lane->sent = now;
    lane->xid = counter++ << 8 | number;
    put(lane->record, LAST | (call->size + call->payload));
    memcpy(lane->record + 4, call->message, call->size);
    put(lane->record + 4, lane->xid);
    if (call->takes) {
        errno = 0;
        if (call->room != lane->handle_bytes)
            fail("a handle of another size than in the plan");
        memcpy(lane->record + 4 + call->takes, lane->handle, call->room);
    }
    queue(c, lane->record, 4 + call->size);
    if (call->payload)
        queue(c, payload, call->payload);
}

static uint32_t status(struct connection *c) {
    const uint32_t reply = 1, accepted = 0;
    if (c->have < 24 || word(c->head + 4) != reply || word(c->head + 8) != accepted ||
        word(c->head + 16) != 0) /* a verifier that is not empty is nobody's */
        return UINT32_MAX;
    if (word(c->head + 20) != 0)
        return UINT32_MAX - word(c->head + 20);
    return c->have < HEAD ? 0 : word(c->head + 24);
}

/* Keeps the handle of a new object, if the reply has one. */
static void keep(struct lane *lane, struct connection *c) {
    uint32_t size = c->have < HEAD + 8 || !word(c->head + HEAD) ? 0 : word(c->head + HEAD + 4);
    if (size > HANDLE_BYTES || c->have < HEAD + 8 + size)
        size = 0;
    memcpy(lane->handle, c->head + HEAD + 8, size);
    lane->handle_bytes = size;
}

static void replied(struct connection *c) {
    uint32_t xid = word(c->head), number = xid & 0xff;
    struct lane *lane = c->lanes + number;
    errno = 0;
    if (number >= plan.lanes || !lane->busy || lane->xid != xid)
        fail("a reply that was not asked for");
    made++;
    uint32_t found = status(c);
    if (found != 0 && failed++ == 0)
        failure = found;
    const struct call *call = calls + lane->calls[lane->next - 1];
    if (call->makes && found == 0)
        keep(lane, c);
    if (now < deadline) {
        counted++;
        units += call->units;
        took(now - lane->sent);
        last_counted = now;
    }
    advance(c, number);
}

static void called(struct connection *c) {
    unsigned char *answer = c->answers[c->slot++ % LANES];
    memset(answer, 0, 4 + HEAD);
    put(answer, LAST | (HEAD + answer_bytes));
    memcpy(answer + 4, c->head, 4);
    put(answer + 8, 1);
    queue(c, answer, 4 + HEAD);
    if (answer_bytes)
        queue(c, payload, answer_bytes);
}

static const uint32_t *read_plan(const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat st;
    if (!file || fstat(fileno(file), &st))
        fail(path);
    unsigned char *at = malloc((size_t)st.st_size + 1);
    if (!at || fread(at, 1, (size_t)st.st_size, file) != (size_t)st.st_size)
        fail(path);
    fclose(file);
    memcpy(&plan, at, sizeof plan);
    at += sizeof plan;
    calls = calloc(plan.calls, sizeof *calls);
    if (!calls)
        fail("memory");
    for (uint32_t n = 0; n < plan.calls; n++) {
        memcpy(calls + n, at, 24);
        calls[n].message = at + 24;
        at += 24 + calls[n].size;
        if (calls[n].size > CALL_BYTES || calls[n].payload > plan.payload ||
            calls[n].room > HANDLE_BYTES || calls[n].takes + calls[n].room > calls[n].size)
            fail("a call in the plan that is too large");
    }
    payload = at;
    if (plan.lanes > LANES || plan.stride == 0)
        fail("not a plan");
    return (const uint32_t *)(const void *)(at + plan.payload);
}

static int connected(uint16_t port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {.tv_sec = PATIENCE};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit))
        fail("connect");
    return fd;
}

static void report(void) {
    uint64_t end = now < deadline ? last_counted : deadline; /* before it all calls were made */
    printf("{\"made\": %llu, \"counted\": %llu, \"units\": %llu, \"nanoseconds\": %llu, "
           "\"failed\": %llu, \"failure\": %u, \"latency\": [",
           (unsigned long long)made, (unsigned long long)counted, (unsigned long long)units,
           (unsigned long long)(end - begun), (unsigned long long)failed, failure);
    print_latency();
    puts("]}");
}

static void generate(char **arguments) {
    struct epoll_event events[EVENTS];
    const uint32_t *at = read_plan(arguments[4]);
    struct connection *all = calloc(plan.connections, sizeof *all);
    counter = (uint32_t)strtoul(arguments[3], NULL, 10);
    for (uint32_t n = 0; all && n < plan.connections; n++) {
        all[n].fd = connected((uint16_t)atoi(arguments[1]));
        all[n].lanes = calloc(plan.lanes, sizeof *all[n].lanes);
        if (!all[n].lanes)
            fail("memory");
        for (uint32_t lane = 0; lane < plan.lanes; lane++) {
            all[n].lanes[lane].count = *at++;
            all[n].lanes[lane].calls = at;
            at += all[n].lanes[lane].count;
        }
    }
    begun = now = nanoseconds();
    deadline = begun + (uint64_t)(atof(arguments[2]) * 1e9);
    for (uint32_t n = 0; n < plan.connections; n++) {
        for (uint32_t lane = 0; lane < plan.lanes; lane++)
            advance(all + n, lane);
        flush(all + n);
    }
    while (busy > 0) {
        if (plan.connections == 1 && all->filled == 0) { /* nothing else to wait for */
            errno = 0;
            if (receive(all, 0, replied) == 0)
                fail("the server closed the connection");
            flush(all);
            continue;
        }
        int ready = epoll_wait(poller, events, EVENTS, PATIENCE * 1000);
        if (ready <= 0)
            fail("no reply");
        for (int n = 0; n < ready; n++) {
            errno = 0;
            if (events[n].events & EPOLLIN && receive(events[n].data.ptr, MSG_DONTWAIT, replied) == 0)
                fail("the server closed the connection");
            flush(events[n].data.ptr);
        }
    }
    report();
}

static _Noreturn void answer(const char *bytes) {
    struct epoll_event events[EVENTS];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    struct connection listener = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    int one = 1;
    if (setsockopt(listener.fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) || /* which does not pace */
        bind(listener.fd, (struct sockaddr *)&at, size) || listen(listener.fd, EVENTS) ||
        getsockname(listener.fd, (struct sockaddr *)&at, &size))
        fail("listen");
    answer_bytes = (uint32_t)strtoul(bytes, NULL, 10);
    payload = calloc(1, answer_bytes + 1);
    watch(&listener);
    printf("port=%u\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int n = 0; n < ready; n++) {
            struct connection *c = events[n].data.ptr;
            if (c == &listener) {
                if (!(c = calloc(1, sizeof *c)) || (c->fd = accept(listener.fd, NULL, NULL)) < 0)
                    fail("accept");
                setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                watch(c);
            } else if (events[n].events & EPOLLIN && receive(c, MSG_DONTWAIT, called) == 0) {
                close(c->fd);
                free(c);
            } else {
                flush(c);
            }
        }
    }
}

int main(int count, char **arguments) {
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (count == 3 && strcmp(arguments[1], "--answer") == 0)
        answer(arguments[2]);
    if (count == 5)
        generate(arguments);
    return count == 5 ? 0 : 2;
}
