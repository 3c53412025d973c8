// The shares of emotions in a crowd, from the answers of a classifier that makes errors: the same estimate as the event
// report's (fer_utils/event/shares.py, which explains it). Its points are equal to Python's; its intervals are random
// draws, so they differ a little.

const sum = (values) => values.reduce((a, b) => a + b, 0);
const zeros = (n) => new Array(n).fill(0);

/** Return the true shares that best explain the reported ones: expectation-maximisation, pulled to the reported ones. */
export function correctShares(shares, confusion, { shrinkage, prior }, steps = 200) {
  const n = shares.length;
  const rates = confusion.map((row) => {
    const whole = sum(row) + n * prior;
    return row.map((count) => (count + prior) / whole);
  });
  let estimate = zeros(n).fill(1 / n);
  for (let step = 0; step < steps; step += 1) {
    const ratio = shares.map((share, j) => share / Math.max(sum(estimate.map((p, i) => p * rates[i][j])), 1e-12));
    estimate = estimate.map((p, i) => (p * sum(ratio.map((r, j) => r * rates[i][j])) + shrinkage * shares[i]) / (1 + shrinkage));
  }
  return estimate;
}

/** Return a source of random numbers, always the same for one seed (mulberry32). */
function randomSource(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const positive = () => uniform() || 1e-12;
  let spare = null; // normal numbers come in pairs (Marsaglia's polar method)
  const normal = () => {
    if (spare !== null) {
      const kept = spare;
      spare = null;
      return kept;
    }
    for (;;) {
      const u = 2 * uniform() - 1;
      const v = 2 * uniform() - 1;
      const r = u * u + v * v;
      if (r > 0 && r < 1) {
        const scale = Math.sqrt((-2 * Math.log(r)) / r);
        spare = v * scale;
        return u * scale;
      }
    }
  };
  const exponential = () => -Math.log(positive());
  // Marsaglia and Tsang 2000.
  const gamma = (shape) => {
    if (shape < 1) return gamma(shape + 1) * positive() ** (1 / shape);
    const d = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = normal();
      const root = 1 + c * x;
      const v = root * root * root;
      if (v <= 0) continue;
      const u = uniform();
      if (u < 1 - 0.0331 * x * x * x * x || Math.log(u || 1e-12) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
    }
  };
  // Many trials are halved by where the middle one of n uniform numbers lies (Devroye 1986, X.4.3).
  const binomial = (n, p) => {
    let hits = 0;
    while (n > 16) {
      const middle = (n + 1) >> 1;
      const a = gamma(middle);
      const at = a / (a + gamma(n + 1 - middle));
      if (at <= p) {
        hits += middle;
        n -= middle;
        p = (p - at) / (1 - at);
      } else {
        n = middle - 1;
        p /= at;
      }
    }
    for (; n > 0; n -= 1) hits += uniform() < p;
    return hits;
  };
  const dirichlet = (weights) => {
    const drawn = weights.map((weight) => gamma(weight) + 1e-300);
    const whole = sum(drawn);
    return drawn.map((value) => value / whole);
  };
  return { exponential, gamma, binomial, dirichlet };
}

const shareOf = (counts) => {
  const whole = sum(counts);
  return counts.map((count) => count / whole);
};

function variances(draws) {
  return draws[0].map((_, k) => {
    const mean = sum(draws.map((row) => row[k])) / draws.length;
    return sum(draws.map((row) => (row[k] - mean) ** 2)) / draws.length;
  });
}

/** Draw the raw shares that other photos of the same kind might give: the Bayesian bootstrap over whole photos. */
function bootstrapShares(units, random, prior, draws = 1000) {
  const n = units[0].length;
  const counts = zeros(n).map((_, k) => sum(units.map((unit) => unit[k])));
  const byUnits = [];
  const byFaces = [];
  for (let i = 0; i < draws; i += 1) {
    const row = zeros(n).map(() => random.gamma(prior));
    for (const unit of units) {
      const weight = random.exponential();
      for (let k = 0; k < n; k += 1) row[k] += weight * unit[k];
    }
    byUnits.push(shareOf(row));
    byFaces.push(random.dirichlet(counts.map((count) => count + prior)));
  }
  // Faces on one photo are correlated; where photos vary less than single faces would, the wider draws are taken.
  return units.length > 1 && sum(variances(byUnits)) > sum(variances(byFaces)) ? byUnits : byFaces;
}

/** Return how many independent faces would give shares with the spread of these draws. */
function effectiveSampleSize(draws) {
  const mean = draws[0].map((_, k) => sum(draws.map((row) => row[k])) / draws.length);
  return sum(mean.map((p) => p * (1 - p))) / sum(variances(draws)) - 1;
}

/** Draw true shares from their posterior, given a classifier's counts and its errors on known faces: Gibbs sampling. */
async function sampleTrueShares(counts, confusion, start, random, prior, chains = 125, steps = 120, kept = 8) {
  const n = counts.length;
  const known = confusion.flat().map((count) => count + prior);
  const rates = new Float64Array(n * n); // row true, column predicted, as `known` and `faces`
  const faces = new Float64Array(n * n);
  const drawRates = () => {
    for (let i = 0; i < n; i += 1) {
      let whole = 0;
      for (let j = i * n; j < i * n + n; j += 1) whole += rates[j] = random.gamma(known[j] + faces[j]) + 1e-300;
      for (let j = i * n; j < i * n + n; j += 1) rates[j] /= whole;
    }
  };
  // Of the faces that were called j: how many are truly i?
  const drawFaces = (truth) => {
    for (let j = 0; j < n; j += 1) {
      let left = counts[j];
      let whole = 0;
      for (let i = 0; i < n; i += 1) whole += truth[i] * rates[i * n + j] + 1e-12;
      for (let i = 0; i < n; i += 1) {
        const weight = truth[i] * rates[i * n + j] + 1e-12;
        faces[i * n + j] = i === n - 1 ? left : random.binomial(left, Math.min(weight / whole, 1));
        left -= faces[i * n + j];
        whole -= weight;
      }
    }
  };
  const draws = [];
  let since = performance.now();
  for (let chain = 0; chain < chains; chain += 1) {
    let truth = start;
    faces.fill(0);
    drawRates();
    for (let step = 1; step <= steps; step += 1) {
      drawFaces(truth);
      truth = random.dirichlet(zeros(n).map((_, i) => sum(faces.subarray(i * n, i * n + n)) + 0.5));
      drawRates();
      if (step > steps - 10 * kept && step % 10 === 0) draws.push(truth);
    }
    if (performance.now() - since > 12) { // let the page breathe
      await new Promise((next) => setTimeout(next));
      since = performance.now();
    }
  }
  return draws;
}

function quantile(values, q) {
  const sorted = Float64Array.from(values).sort();
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

/**
 * Estimate the shares of emotions and valences, raw and corrected, with 95 % intervals.
 *
 * `units` counts the answers on each photo, rows of 7; `confusion` has rows true, columns predicted; `groups` has for
 * each valence the indices of its emotions. Returns a row for each emotion, then one for each valence: {faces, raw: {at,
 * low, high}, corrected: {at, low, high}}. Null without a face.
 */
export async function estimateShares(units, confusion, groups, { shrinkage, prior }, seed = 0) {
  const counts = confusion.map((_, k) => sum(units.map((unit) => unit[k])));
  const whole = sum(counts);
  if (!whole) return null;
  const random = randomSource(seed);
  const raw = shareOf(counts);
  const corrected = correctShares(raw, confusion, { shrinkage, prior });
  const rawDraws = bootstrapShares(units, random, prior);
  const independent = Math.min(Math.max(effectiveSampleSize(rawDraws), 1), whole);
  // As many faces as are independent: faces on one photo say less than faces on many.
  const counted = raw.map((p) => Math.round(p * independent));
  const correctedDraws = await sampleTrueShares(counted, confusion, corrected, random, prior);
  const rows = [...counts.keys()].map((k) => [k]).concat(groups);
  const interval = (point, draws) => rows.map((of) => {
    const total = (shares) => sum(of.map((k) => shares[k]));
    const drawn = draws.map(total);
    const at = total(point);
    // The priors move the draws a little against the point; it must not lie outside its own interval.
    return { at, low: Math.min(quantile(drawn, 0.025), at), high: Math.max(quantile(drawn, 0.975), at) };
  });
  const [first, second] = [interval(raw, rawDraws), interval(corrected, correctedDraws)];
  return rows.map((of, i) => ({ faces: sum(of.map((k) => counts[k])), raw: first[i], corrected: second[i] }));
}
