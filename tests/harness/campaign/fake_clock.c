/* A fake: steps the wall clock by an hour for whoever is started with it preloaded, from the moment on at which
 * the file $FAKE_CLOCK_STEP exists. CLOCK_MONOTONIC and CLOCK_BOOTTIME stay the kernel's, as in a real step. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    const char *file = getenv("FAKE_CLOCK_STEP");
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && file != NULL && access(file, F_OK) == 0) {
        now->tv_sec += 3600;
    }
    return result;
}
