#include "traffic.h"

#include <inttypes.h>
#include <stdlib.h>

struct samples samples_new(size_t capacity)
{
	struct samples samples = { .capacity = capacity };

	samples.values = malloc(capacity * sizeof(uint64_t));
	if (!samples.values)
		fail("malloc");
	return samples;
}

/* Once full, what comes is not kept: the first ones are a fair sample of a steady run. */
void samples_add(struct samples *samples, uint64_t value)
{
	if (samples->count < samples->capacity)
		samples->values[samples->count++] = value;
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static uint64_t percentile(const struct samples *samples, double share)
{
	if (samples->count == 0)
		return 0;
	return samples->values[(size_t)((double)(samples->count - 1) * share)];
}

void samples_print(struct samples *samples, uint64_t operations, uint64_t errors, uint64_t elapsed_ns)
{
	qsort(samples->values, samples->count, sizeof(uint64_t), compare);
	printf("{\"operations\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"elapsedNs\":%" PRIu64
	       ",\"perSecond\":%.1f,\"minNs\":%" PRIu64 ",\"p50Ns\":%" PRIu64 ",\"p90Ns\":%" PRIu64
	       ",\"p99Ns\":%" PRIu64 ",\"maxNs\":%" PRIu64 "}\n",
	       operations, errors, elapsed_ns, elapsed_ns ? (double)operations * 1e9 / (double)elapsed_ns : 0,
	       percentile(samples, 0), percentile(samples, 0.5), percentile(samples, 0.9), percentile(samples, 0.99),
	       percentile(samples, 1));
	free(samples->values);
}
