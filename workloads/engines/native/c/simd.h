/* Vectors of VL floats through compiler extensions: SSE2 and NEON 4, AVX 8, AVX-512 16. No intrinsics but in rules.h.
 *
 * Every buffer is aligned to TB_ALIGN_B and every row padded with zeros to a multiple of VL floats, so the
 * kernels need no tails; padding stays zero because a product with it is zero.
 */
#ifndef TB_SIMD_H
#define TB_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define VL 16
#elif defined(__AVX__)
#define VL 8
#else
#define VL 4
#endif

#define TB_ALIGN_B 64
#define TB_INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * VL), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * VL), may_alias));
typedef float v4f __attribute__((vector_size(16), may_alias));
typedef int32_t v4i __attribute__((vector_size(16), may_alias));

/* Sizes of a tile: 4 x TB_ROWS and 4 x TB_COLS sums. 16 registers leave 8 sums where there is no FMA, since then
 * every product needs a register of its own. Measured best on SSE2, AVX2 and AVX-512. At most 6. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define TB_REGISTERS 32
#else
#define TB_REGISTERS 16
#endif
#ifndef TB_ROWS
#if TB_REGISTERS == 32
#define TB_ROWS 5
#elif defined(__AVX__) || defined(__ARM_FEATURE_FMA)
#define TB_ROWS 3
#else
#define TB_ROWS 2
#endif
#endif
#ifndef TB_COLS
#define TB_COLS (TB_REGISTERS == 32 ? 4 : 2)
#endif

/* SSE2 has no broadcasting load: there, factors that are read many times are stored VL times each. */
#if defined(__SSE2__) && !defined(__AVX__)
#define TB_UNIT VL
#else
#define TB_UNIT 1
#endif

/* TB_UNROLL: a loop over a tile, so that its sums are registers. TB_UNROLL_FEW: a long loop; fewer turns are also
 * fewer than a branch predictor's history, so that its end is foreseen. Clang spills a register of the outer
 * kernel when unrolled, gcc does not. */
#define TB_PRAGMA(text) _Pragma(#text)
#define TB_PRAGMA2(text) TB_PRAGMA(text)
#ifndef TB_FEW_DOT
#define TB_FEW_DOT 2
#endif
#if defined(__clang__)
#ifndef TB_FEW_OUTER
#define TB_FEW_OUTER 1
#endif
#define TB_UNROLL _Pragma("clang loop unroll(full)")
#define TB_UNROLL_FEW(n) TB_PRAGMA2(clang loop unroll_count(n))
#else
#ifndef TB_FEW_OUTER
#define TB_FEW_OUTER 2
#endif
#define TB_UNROLL _Pragma("GCC unroll 32")
#define TB_UNROLL_FEW(n) TB_PRAGMA2(GCC unroll n)
#endif

TB_INLINE vf load(const float *at) { return *(const vf *)at; }
TB_INLINE void store(float *at, vf value) { *(vf *)at = value; }
TB_INLINE vf all(float value) { return (vf){0} + value; }

/* A value read to multiply by: where a processor has it, one load that broadcasts. all() adds it to zero first, since
 * -0 is no zero to a compiler. */
TB_INLINE vf each(float value) {
#if VL == 4
    return (vf){value, value, value, value};
#elif VL == 8
    return (vf){value, value, value, value, value, value, value, value};
#else
    return (vf){value, value, value, value, value, value, value, value,
                value, value, value, value, value, value, value, value};
#endif
}

/* A factor written by tb_spread, VL times. */
TB_INLINE vf factor(const float *at) {
#if TB_UNIT == 1
    return all(*at);
#else
    return load(at);
#endif
}

TB_INLINE vf choose(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }
/* max(a, 0), as 0 where a is NaN is wrong: a NaN must reach the loss. */
TB_INLINE vf relu(vf a) { return choose((vi)(a < all(0.0f)), all(0.0f), a); }

/* Shuffles inside lanes of 4 floats; indices 4..7 mean the second operand. */
#if VL == 4
#define TB_LANES(i, j, k, l) i, j, k, l
#elif VL == 8
#define TB_IX8(i, n) ((i) < 4 ? (i) + (n) : (i) + 4 + (n))
#define TB_LANE8(i, j, k, l, n) TB_IX8(i, n), TB_IX8(j, n), TB_IX8(k, n), TB_IX8(l, n)
#define TB_LANES(i, j, k, l) TB_LANE8(i, j, k, l, 0), TB_LANE8(i, j, k, l, 4)
#else
#define TB_IX16(i, n) ((i) < 4 ? (i) + (n) : (i) + 12 + (n))
#define TB_LANE16(i, j, k, l, n) TB_IX16(i, n), TB_IX16(j, n), TB_IX16(k, n), TB_IX16(l, n)
#define TB_LANES(i, j, k, l) \
    TB_LANE16(i, j, k, l, 0), TB_LANE16(i, j, k, l, 4), TB_LANE16(i, j, k, l, 8), TB_LANE16(i, j, k, l, 12)
#endif
#if defined(__clang__)
#define TB_SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, TB_LANES(i, j, k, l))
#define TB_SHUFFLE4(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define TB_SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, (vi){TB_LANES(i, j, k, l)})
#define TB_SHUFFLE4(a, b, i, j, k, l) __builtin_shuffle(a, b, (v4i){i, j, k, l})
#endif

/* The sums of the elements of four vectors, as one vector of four. */
TB_INLINE v4f sums_of(vf a, vf b, vf c, vf d) {
    vf ab = TB_SHUFFLE(a, b, 0, 4, 1, 5) + TB_SHUFFLE(a, b, 2, 6, 3, 7);
    vf cd = TB_SHUFFLE(c, d, 0, 4, 1, 5) + TB_SHUFFLE(c, d, 2, 6, 3, 7);
    vf lanes = TB_SHUFFLE(ab, cd, 0, 1, 4, 5) + TB_SHUFFLE(ab, cd, 2, 3, 6, 7);
    v4f part[VL / 4];
    memcpy(part, &lanes, sizeof part);
#if VL == 16
    return (part[0] + part[1]) + (part[2] + part[3]);
#elif VL == 8
    return part[0] + part[1];
#else
    return part[0];
#endif
}

/* Four rows of four become four columns. */
TB_INLINE void transpose(v4f *m) {
    v4f a = TB_SHUFFLE4(m[0], m[1], 0, 4, 1, 5), b = TB_SHUFFLE4(m[0], m[1], 2, 6, 3, 7);
    v4f c = TB_SHUFFLE4(m[2], m[3], 0, 4, 1, 5), d = TB_SHUFFLE4(m[2], m[3], 2, 6, 3, 7);
    m[0] = TB_SHUFFLE4(a, c, 0, 1, 4, 5), m[1] = TB_SHUFFLE4(a, c, 2, 3, 6, 7);
    m[2] = TB_SHUFFLE4(b, d, 0, 1, 4, 5), m[3] = TB_SHUFFLE4(b, d, 2, 3, 6, 7);
}

/* The loss works on four samples at a time, whatever VL is: it has few classes. */
TB_INLINE v4f all4(float value) { return (v4f){0} + value; }
TB_INLINE v4f choose4(v4i mask, v4f yes, v4f no) { return (v4f)((mask & (v4i)yes) | (~mask & (v4i)no)); }
TB_INLINE v4f greater_of(v4f a, v4f b) { return choose4(a > b, a, b); }

/* exp(x) for x <= 0, error about 1 ulp; below -87 it stays at exp(-87); NaN stays NaN.
 * Cephes' expf: x = n ln 2 + r, polynomial of degree 5 in r, 2^n through the exponent's bits. */
TB_INLINE v4f exp_of(v4f x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    x = choose4((v4i)(x < all4(-87.0f)), all4(-87.0f), x);
    v4f shifted = x * 1.44269504088896341f + magic;
    v4f n = shifted - magic;
    v4f r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    v4f p = all4(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    v4i bits = ((v4i)shifted - 0x4b400000 + 127) << 23;
    return p * (v4f)bits;
}

/* log(x) for normal x >= 1, error about 1 ulp; NaN stays NaN. Cephes' logf. */
TB_INLINE v4f log_of(v4f x) {
    v4i bits = (v4i)x;
    v4i exponent = ((bits >> 23) & 0xff) - 126;
    v4f m = (v4f)((bits & 0x007fffff) | 0x3f000000); /* 0.5 <= m < 1 */
    v4i low = (v4i)(m < all4(0.707106781186547524f));
    exponent = exponent + low; /* true is -1 */
    v4f f = choose4(low, m + m, m) - 1.0f;
    v4f e = (v4f)(exponent + 0x4b400000) - 12582912.0f;
    v4f p = all4(7.0376836292e-2f);
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    v4f z = f * f;
    v4f y = p * f * z - e * 2.12194440e-4f - 0.5f * z;
    return choose4((v4i)(x == x), f + y + e * 0.693359375f, x);
}

#endif
