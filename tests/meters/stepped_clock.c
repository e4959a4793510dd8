/* Wall clock of a process tree, stepped by hand: CLOCK_REALTIME jumps by TUNEBENCH_TEST_STEP_S seconds once the file
 * TUNEBENCH_TEST_STEP_FILE exists. Preloaded into a board's processes, since stepping the real clock of a shared
 * machine would harm everything else on it. CLOCK_MONOTONIC and CLOCK_BOOTTIME pass through untouched, as in a real
 * settimeofday(2). */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t step_s(void) {
    const char *file = getenv("TUNEBENCH_TEST_STEP_FILE"), *step = getenv("TUNEBENCH_TEST_STEP_S");
    return file && step && access(file, F_OK) == 0 ? (time_t)atol(step) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += step_s();
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    int failed = (int)syscall(SYS_gettimeofday, now, zone);
    if (!failed && now) now->tv_sec += step_s();
    return failed;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}
