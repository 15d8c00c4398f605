/*
 * A wire between two interfaces of a network namespace: frames late, lost and out of order.
 *
 *   wire LOG SEED ONE OTHER DELAY_NS JITTER_NS LOSS LATE LATE_NS (the same five of the way back)
 *
 * A frame is held for a time drawn evenly from DELAY_NS -+ JITTER_NS, a share LATE of them by
 * LATE_NS more; a share LOSS never arrives. What became of each is written to the log at the end,
 * which is that of standard input: four numbers of 64 bits, the way, when it came and left [ns] or
 * LOST, its bytes. The last row of each way has DROPPED, and how many came too fast to be taken.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define LARGEST (1 << 17)
#define QUEUE (1 << 26)
#define WAYS 2
/* words before those of the ways, and of each */
#define FIRST 5
#define WORDS 5
/* frames taken before those that are due are put */
#define BATCH 64
#define LOST -1
#define DROPPED -2
#define PRIORITY 20

struct frame {
  int64_t due, came;
  uint64_t number;
  size_t size;
  char bytes[];
};

struct row {
  int64_t way, came, left, size;
};

struct way {
  int source, sink;
  int64_t delay, jitter, late_by;
  double loss, late;
  uint64_t random;
  /* a heap, the first to leave on top */
  struct frame **held;
  size_t count, room;
  uint64_t taken;
};

static struct row *rows;
static size_t row_count, row_room;

static void fail(const char *what)
{
  fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void *grown(void *array, size_t *room, size_t size)
{
  *room = *room ? 2 * *room : 4096;
  array = realloc(array, *room * size);
  if (!array) {
    fail("memory");
  }
  return array;
}

static void note(int64_t way, int64_t came, int64_t left, int64_t size)
{
  if (row_count == row_room) {
    rows = grown(rows, &row_room, sizeof *rows);
  }
  rows[row_count++] = (struct row){way, came, left, size};
}

static int64_t now(void)
{
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  return at.tv_sec * SECOND + at.tv_nsec;
}

/* splitmix64 (Steele, Lea, Flood 2014), evenly in [0, 1) */
static double drawn(struct way *way)
{
  uint64_t z = way->random += 0x9e3779b97f4a7c15ULL;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
  return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* how long the next frame is held, LOST where it is not to arrive */
static int64_t hold(struct way *way)
{
  double lost = drawn(way), late = drawn(way), even = 2.0 * drawn(way) - 1.0;
  int64_t held = way->delay + (int64_t)(even * (double)way->jitter);
  if (lost < way->loss) {
    return LOST;
  }
  held += late < way->late ? way->late_by : 0;
  return held > 0 ? held : 0;
}

static int before(const struct frame *a, const struct frame *b)
{
  return a->due != b->due ? a->due < b->due : a->number < b->number;
}

static void push(struct way *way, struct frame *frame)
{
  size_t at = way->count++;
  if (at == way->room) {
    way->held = grown(way->held, &way->room, sizeof *way->held);
  }
  for (; at && before(frame, way->held[(at - 1) / 2]); at = (at - 1) / 2) {
    way->held[at] = way->held[(at - 1) / 2];
  }
  way->held[at] = frame;
}

static struct frame *pop(struct way *way)
{
  struct frame *top = way->held[0], *last = way->held[--way->count];
  size_t at = 0, child;
  while ((child = 2 * at + 1) < way->count) {
    if (child + 1 < way->count && before(way->held[child + 1], way->held[child])) {
      child++;
    }
    if (before(last, way->held[child])) {
      break;
    }
    way->held[at] = way->held[child];
    at = child;
  }
  way->held[at] = last;
  return top;
}

/* when the kernel saw a frame: it may have waited in the queue since */
static int64_t arrival(struct msghdr *message)
{
  struct cmsghdr *more;
  for (more = CMSG_FIRSTHDR(message); more; more = CMSG_NXTHDR(message, more)) {
    if (more->cmsg_level == SOL_SOCKET && more->cmsg_type == SCM_TIMESTAMPNS) {
      struct timespec at;
      memcpy(&at, CMSG_DATA(more), sizeof at);
      return at.tv_sec * SECOND + at.tv_nsec;
    }
  }
  return now();
}

static void take(struct way *way, int64_t number)
{
  static char bytes[LARGEST];
  char more[128];
  for (int left = BATCH; left; left--) {
    struct iovec part = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = more,
                             .msg_controllen = sizeof more};
    ssize_t size = recvmsg(way->source, &message, MSG_DONTWAIT);
    struct frame *frame;
    int64_t came, held;
    if (size < 0) {
      return;
    }
    came = arrival(&message);
    held = hold(way);
    if (held == LOST) {
      note(number, came, LOST, size);
      continue;
    }
    frame = malloc(sizeof *frame + (size_t)size);
    if (!frame) {
      fail("memory");
    }
    *frame = (struct frame){came + held, came, way->taken++, (size_t)size};
    memcpy(frame->bytes, bytes, (size_t)size);
    push(way, frame);
  }
}

static void put(struct way *way, int64_t number)
{
  while (way->count && way->held[0]->due <= now()) {
    struct frame *frame = pop(way);
    /* an interface that is full or gone loses it */
    ssize_t sent = send(way->sink, frame->bytes, frame->size, MSG_DONTWAIT);
    note(number, frame->came, sent < 0 ? LOST : now(), (int64_t)frame->size);
    free(frame);
  }
}

static void set(int end, int level, int option, int value)
{
  if (setsockopt(end, level, option, &value, sizeof value)) {
    fail("a socket's option");
  }
}

/* whole frames of an interface, with what the kernel left undone of their checksums */
static int opened(const char *interface)
{
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
  /* without a protocol: nothing is taken before all is set */
  int end = socket(AF_PACKET, SOCK_RAW, 0);
  if (end < 0) {
    fail("socket");
  }
  set(end, SOL_PACKET, PACKET_VNET_HDR, 1);
  set(end, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
  set(end, SOL_SOCKET, SO_TIMESTAMPNS, 1);
  set(end, SOL_SOCKET, SO_RCVBUFFORCE, QUEUE);
  set(end, SOL_SOCKET, SO_SNDBUFFORCE, QUEUE);
  address.sll_ifindex = (int)if_nametoindex(interface);
  if (!address.sll_ifindex || bind(end, (struct sockaddr *)&address, sizeof address)) {
    fail(interface);
  }
  return end;
}

static void make(struct way *ways, char **words)
{
  uint64_t seed = strtoull(words[2], NULL, 10);
  int ends[WAYS] = {opened(words[3]), opened(words[4])};
  for (int n = 0; n < WAYS; n++) {
    struct way *way = &ways[n];
    char **asked = words + FIRST + n * WORDS;
    way->source = ends[n];
    way->sink = ends[!n];
    way->delay = atoll(asked[0]);
    way->jitter = atoll(asked[1]);
    way->loss = atof(asked[2]);
    way->late = atof(asked[3]);
    way->late_by = atoll(asked[4]);
    way->random = WAYS * seed + (uint64_t)n;
    /* neighbouring states of this generator are the same numbers, one later */
    way->random = (uint64_t)(drawn(way) * 0x1p53);
  }
}

/* until the next frame is due; a second where none is held */
static struct timespec rest(const struct way *ways)
{
  int64_t at = now(), least = SECOND;
  for (int n = 0; n < WAYS; n++) {
    if (ways[n].count && ways[n].held[0]->due - at < least) {
      least = ways[n].held[0]->due - at;
    }
  }
  least = least > 0 ? least : 0;
  return (struct timespec){least / SECOND, least % SECOND};
}

static void carry(struct way *ways)
{
  struct pollfd ends[WAYS + 1] = {{.fd = STDIN_FILENO, .events = POLLIN}};
  char word;
  for (int n = 0; n < WAYS; n++) {
    ends[n + 1] = (struct pollfd){.fd = ways[n].source, .events = POLLIN};
  }
  do {
    struct timespec wait = rest(ways);
    ends[0].revents = 0;
    ppoll(ends, WAYS + 1, &wait, NULL);
    for (int n = 0; n < WAYS; n++) {
      take(&ways[n], n);
      put(&ways[n], n);
    }
  } while (!ends[0].revents || read(STDIN_FILENO, &word, 1) > 0);
}

int main(int argc, char **argv)
{
  struct way ways[WAYS] = {0};
  struct sched_param urgent = {.sched_priority = PRIORITY};
  FILE *log;
  if (argc != FIRST + WAYS * WORDS) {
    fputs("usage: wire LOG SEED ONE OTHER [DELAY_NS JITTER_NS LOSS LATE LATE_NS] twice\n", stderr);
    return 2;
  }
  signal(SIGINT, SIG_IGN);
  make(ways, argv);
  /* where it is allowed: frames are to be as late as was asked for */
  sched_setscheduler(0, SCHED_FIFO, &urgent);
  puts("carrying");
  fflush(stdout);
  carry(ways);
  for (int n = 0; n < WAYS; n++) {
    struct tpacket_stats seen = {0};
    socklen_t size = sizeof seen;
    getsockopt(ways[n].source, SOL_PACKET, PACKET_STATISTICS, &seen, &size);
    note(n, 0, DROPPED, seen.tp_drops);
  }
  log = fopen(argv[1], "wb");
  if (!log || fwrite(rows, sizeof *rows, row_count, log) != row_count || fclose(log)) {
    fail(argv[1]);
  }
  return 0;
}
