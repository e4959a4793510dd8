/* How a weight moves by its gradient, sums of a tile or values kept: plain SGD, momentum, AdamW.
 *
 * An optimizer's state lies behind the weights at equal distances (tb_rule.apart): with momentum the velocity, with
 * AdamW both moments, and behind them the gradient, where it must be kept. Padding is zero in all of them and stays so.
 */
#ifndef TB_RULES_H
#define TB_RULES_H

#include "simd.h"

#if defined(__SSE__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/* of outer: TB_ADD, TB_GATE see tiles.h; TB_STEP, TB_MOMENTUM, TB_ADAMW (without decay), TB_DECAY (AdamW with decay) move
 * weights; TB_KEEP keeps their gradient */
enum { TB_STEP, TB_ADD, TB_GATE, TB_MOMENTUM, TB_ADAMW, TB_DECAY, TB_KEEP };

/* Of one step and one kind of weights.
 *
 * AdamW's moments are kept divided by (1 - beta), which saves two products a value. In terms of torch.optim.AdamW's
 * first = (1 - beta1) m, second = (1 - beta2) v:  p = (1 - lr decay) p - lr / c1 * first / (sqrt(second) / sqrt(c2)
 * + epsilon), c = 1 - beta^t, multiplied out so that a value needs one division: p = keep p - rate m / (2 sqrt(v) + floor).
 */
typedef struct {
    float rate;         /* SGD, momentum: the learning rate, negative */
    float beta1, beta2; /* momentum: beta1 */
    float keep, floor;
    float decay, share; /* of kept gradients: g = share * gradient + decay * p */
    long apart;         /* floats from a weight to its state */
    int n_states;
} tb_rule;

/* About 1 / sqrt(x), x > 0: 11 bits or more. */
TB_INLINE vf rsqrt_of(vf x) {
#if defined(__AVX512F__)
    return (vf)_mm512_rsqrt14_ps((__m512)x);
#elif defined(__AVX__)
    return (vf)_mm256_rsqrt_ps((__m256)x);
#elif defined(__SSE__)
    return (vf)_mm_rsqrt_ps((__m128)x);
#elif defined(__ARM_NEON)
    float32x4_t at = (float32x4_t)x, r = vrsqrteq_f32(at);
    return (vf)vmulq_f32(r, vrsqrtsq_f32(vmulq_f32(at, r), r));
#else
    vf r;
    for (int i = 0; i < VL; i++) r[i] = 1.0f / __builtin_sqrtf(x[i]);
    return r;
#endif
}

/* 2 sqrt(x) for x >= 0, error about 2^-22; 2e-18 instead of 0. A Newton step, (3 - x r r) r / 2, times 2 x. */
TB_INLINE vf twice_sqrt(vf x) {
    vf at = x + 1e-36f, r = rsqrt_of(at), t = at * r;
    return t * (3.0f - t * r);
}

/* a / b. Dividing is quick on x86 but with 512 bits, and slow on the cores of small boards. */
TB_INLINE vf quotient(vf a, vf b) {
#if defined(__AVX512F__)
    vf r = (vf)_mm512_rcp14_ps((__m512)b);
    return a * (r * (2.0f - b * r));
#elif defined(__ARM_NEON)
    float32x4_t by = (float32x4_t)b, r = vrecpeq_f32(by);
    r = vmulq_f32(r, vrecpsq_f32(by, r));
    return a * (vf)vmulq_f32(r, vrecpsq_f32(by, r));
#else
    return a / b;
#endif
}

/* The weights at an address by the gradient of VL of them. */
TB_INLINE void move(const int what, float *at, vf gradient, const tb_rule *by) {
    if (what == TB_STEP) {
        store(at, load(at) + by->rate * gradient);
    } else if (what == TB_MOMENTUM) {
        vf velocity = by->beta1 * load(at + by->apart) + gradient;
        store(at + by->apart, velocity);
        store(at, load(at) + by->rate * velocity);
    } else if (what == TB_ADAMW || what == TB_DECAY) {
        float *m_at = at + by->apart, *v_at = m_at + by->apart;
        vf m = by->beta1 * load(m_at) + gradient;
        vf v = by->beta2 * load(v_at) + gradient * gradient;
        store(m_at, m);
        store(v_at, v);
        vf weight = load(at);
        if (what == TB_DECAY) weight = by->keep * weight;
        store(at, weight + by->rate * quotient(m, twice_sqrt(v) + by->floor));
    } else {
        store(at + (by->n_states + 1) * by->apart, gradient);
    }
}

#endif
