/*
 * A system clock that is off, for the processes that preload this: as on a host of its own.
 *
 * CLOCK_OFF_NS: what it is ahead [ns]; CLOCK_OFF_PPM: what it gains a second [us], from
 * CLOCK_OFF_SINCE_NS of the steady clock on. The steady clock is left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
/* steady clocks begin when a host starts: what is later than this is a system time */
#define SYSTEM_S 1000000000LL
#define REAL(name) ((__typeof__(&name))real(#name))

static long long ahead_ns, since_ns;
static double ppm;

static void *real(const char *name)
{
  return dlsym(RTLD_NEXT, name);
}

/* condition variables have two versions in the C library: the newer one, wherever there are two */
static void *real_condition(const char *name)
{
  void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
  return found ? found : real(name);
}

__attribute__((constructor)) static void begin(void)
{
  const char *text = getenv("CLOCK_OFF_NS");
  ahead_ns = text ? atoll(text) : 0;
  text = getenv("CLOCK_OFF_PPM");
  ppm = text ? atof(text) : 0.0;
  text = getenv("CLOCK_OFF_SINCE_NS");
  since_ns = text ? atoll(text) : 0;
}

static int raw(clockid_t clock, struct timespec *out)
{
  static int (*known)(clockid_t, struct timespec *);
  if (!known) {
    known = (int (*)(clockid_t, struct timespec *))real("clock_gettime");
  }
  return known ? known(clock, out) : (int)syscall(SYS_clock_gettime, clock, out);
}

static long long off(void)
{
  struct timespec now;
  if (ppm == 0.0 || raw(CLOCK_MONOTONIC, &now)) {
    return ahead_ns;
  }
  return ahead_ns + (long long)(1e-6 * ppm * (double)(now.tv_sec * SECOND + now.tv_nsec - since_ns));
}

static void add(struct timespec *at, long long more_ns)
{
  long long all = at->tv_sec * SECOND + at->tv_nsec + more_ns;
  at->tv_sec = all / SECOND;
  at->tv_nsec = all % SECOND;
}

static int is_system(clockid_t clock)
{
  return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
  int failed = raw(clock, out);
  if (!failed && is_system(clock)) {
    add(out, off());
  }
  return failed;
}

int gettimeofday(struct timeval *out, void *zone)
{
  struct timespec now;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &now)) {
    return -1;
  }
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *out)
{
  struct timespec now = {0, 0};
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) {
    *out = now.tv_sec;
  }
  return now.tv_sec;
}

int timespec_get(struct timespec *out, int base)
{
  return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, out) ? base : 0;
}

/* what waits until a system time was told one of this clock, and the kernel knows the other */
static struct timespec meant(const struct timespec *until)
{
  struct timespec at = *until;
  if (at.tv_sec > SYSTEM_S) {
    add(&at, -off());
  }
  return at;
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                           const struct timespec *until)
{
  static __typeof__(&pthread_cond_timedwait) known;
  struct timespec at = meant(until);
  if (!known) {
    known = (__typeof__(&pthread_cond_timedwait))real_condition("pthread_cond_timedwait");
  }
  return known(cond, mutex, &at);
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until)
{
  struct timespec at = meant(until);
  return REAL(pthread_mutex_timedlock)(mutex, &at);
}

int sem_timedwait(sem_t *sem, const struct timespec *until)
{
  struct timespec at = meant(until);
  return REAL(sem_timedwait)(sem, &at);
}

int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
                           const struct timespec *until)
{
  static int (*known)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
  struct timespec at = is_system(clock) ? meant(until) : *until;
  if (!known) {
    known = (int (*)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *))
      real("pthread_cond_clockwait");
  }
  return known ? known(cond, mutex, clock, &at) : EINVAL;
}
