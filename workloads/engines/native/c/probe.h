/* What this build could do at best: multiply-adds from registers alone, and reading memory. */
#ifndef TB_PROBE_H
#define TB_PROBE_H

/* Bump when a signature changes: the loader refuses another one. */
#define TB_ABI 5

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define TB_FMA 1
#else
#define TB_FMA 0
#endif

#if VL == 16 || defined(__aarch64__)
#define TB_CHAINS 24
#else
#define TB_CHAINS 13
#endif

TB_API int tb_abi(void) { return TB_ABI; }
TB_API int tb_vector_floats(void) { return VL; }
TB_API int tb_has_fma(void) { return TB_FMA; }
TB_API const char *tb_compiler(void) {
#if defined(__clang__)
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

/* rounds * TB_CHAINS * VL multiply-adds, independent chains that fill the registers; returns their number. */
TB_API int64_t tb_peak(int64_t rounds, float *sink) {
    vf sum[TB_CHAINS], times = all(0.999f), plus = all(0.001f);
    TB_UNROLL for (int i = 0; i < TB_CHAINS; i++) sum[i] = all((float)i);
    for (int64_t n = 0; n < rounds; n++) {
        TB_UNROLL for (int i = 0; i < TB_CHAINS; i++) sum[i] = sum[i] * times + plus;
    }
    vf total = all(0.0f);
    TB_UNROLL for (int i = 0; i < TB_CHAINS; i++) total += sum[i];
    store(sink, total);
    return rounds * TB_CHAINS * VL;
}

/* Reads count floats (a multiple of 8 * VL, aligned) rounds times. */
TB_API void tb_read(const float *from, int64_t count, int64_t rounds, float *sink) {
    vf sum[8];
    TB_UNROLL for (int i = 0; i < 8; i++) sum[i] = all(0.0f);
    for (int64_t n = 0; n < rounds; n++) {
        for (int64_t at = 0; at < count; at += 8 * VL) {
            TB_UNROLL for (int i = 0; i < 8; i++) sum[i] += load(from + at + i * VL);
        }
    }
    vf total = all(0.0f);
    TB_UNROLL for (int i = 0; i < 8; i++) total += sum[i];
    store(sink, total);
}

#endif
