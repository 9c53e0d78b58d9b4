/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The verifier of plans. It knows nothing of how plans are made, and shares nothing with the planner
 * but the public structures.
 *
 * Whatever the plan does with frames becomes a list of uses: these frames, then, as what. Sorted by
 * frame, it is gone through together with the input's ranges; between two places where any of them
 * begins or ends, all frames have the same life, which is followed once for all of them.
 */
#include <resume/placement.h>

#include "internal.h"

enum use_type { USE_AREA, USE_HOME, USE_SOURCE, USE_DESTINATION, USE_TYPES };

struct use {
    uint64_t first;
    uint64_t end;
    uint64_t partner; /* of a step: the first frame on its other side; ZERO for a fill's */
    uint64_t when;    /* of a step: its number, the last ones behind all others */
    uint32_t type;    /* enum use_type */
    uint32_t stage;   /* of a step: when it is executed; of an area: when it is overwritten */
};

/* After ExitBootServices; when all are in the home; on the home's own tables. */
enum { STAGE_FIRST, STAGE_FINAL, STAGE_LAST };

/* What the guest wants in a frame. */
enum want {
    WANT_NOTHING,
    WANT_ZERO,
    WANT_CONTENT,
    WANT_UNTOUCHED_HOME,
    WANT_IMPOSSIBLE /* content, or a home, where there is no RAM: the input is wrong */
};

/* What a frame holds. */
enum holds { HOLDS_OLD, HOLDS_ZERO, HOLDS_OWN, HOLDS_PARTNERS, HOLDS_AREA };

struct check {
    const struct resume_placement_input *input;
    const struct resume_placement *plan;
    struct resume_diag *diag;
    struct use *uses;
    uint64_t count;
};

/* Frames [first, end) with the same life. A use that does not apply is NULL. */
struct life {
    const struct use *uses[USE_TYPES];
    int cleared;
    uint64_t first;
    uint64_t end;
    enum resume_frame_kind kind;
    enum want want;
};

static int wrong(const struct check *check, const char *field, uint64_t frame)
{
    return resume_fail(check->diag, RESUME_ECONFLICT, "placement plan", field,
                       frame << RESUME_PAGE_SHIFT, 0, 0, RESUME_NO_VCPU);
}

static int valid(uint64_t first, uint64_t count)
{
    return count > 0 && first < RESUME_FRAMES_END && count <= RESUME_FRAMES_END - first;
}

/* ---- Arguments ---- */

static int sorted_runs(const struct resume_page_run *runs, uint32_t count)
{
    if (count > 0 && runs == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!valid(runs[i].first, runs[i].count) ||
            (i > 0 && runs[i - 1].first + runs[i - 1].count > runs[i].first)) {
            return 0;
        }
    }
    return 1;
}

static int sorted_frames(const struct resume_frames *frames, uint32_t count)
{
    if (count > 0 && frames == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!valid(frames[i].first, frames[i].count) || frames[i].kind > RESUME_FRAME_FIRMWARE ||
            (i > 0 && frames[i - 1].first + frames[i - 1].count > frames[i].first)) {
            return 0;
        }
    }
    return 1;
}

/* Whether content and home lie in RAM comes out when all lives are followed. */
static int arguments_are_valid(const struct resume_placement_input *input,
                               const struct resume_placement *plan)
{
    return input != NULL && plan != NULL && sorted_frames(input->frames, input->frames_count) &&
           sorted_runs(input->ram, input->ram_count) &&
           sorted_runs(input->content, input->content_count) &&
           input->area_count <= RESUME_PLACEMENT_AREAS &&
           (input->area_count == 0 || input->areas != NULL) &&
           (input->home.count == 0 || valid(input->home.first, input->home.count)) &&
           (plan->step_count == 0 || plan->steps != NULL) &&
           (plan->final_count == 0 || plan->final != NULL) &&
           (plan->clear_count == 0 || plan->clear != NULL);
}

/* ---- The list of uses ---- */

static void add(struct check *check, uint64_t first, uint64_t count, struct use use)
{
    use.first = first;
    use.end = first + count;
    check->uses[check->count++] = use;
}

static int add_step(struct check *check, const struct resume_placement_step *step, uint64_t when,
                    uint32_t stage)
{
    const int fills = step->source == RESUME_PLACEMENT_ZERO;
    struct use use = {.when = when, .stage = stage};

    if (!valid(step->destination, step->pages)) {
        return wrong(check, "order", 0);
    }
    if (!fills) {
        if (!valid(step->source, step->pages)) {
            return wrong(check, "order", 0);
        }
        if (step->source < step->destination + step->pages &&
            step->destination < step->source + step->pages) {
            return wrong(check, "overlap", step->destination);
        }
        use.type = USE_SOURCE;
        use.partner = step->destination;
        add(check, step->source, step->pages, use);
    }
    use.type = USE_DESTINATION;
    use.partner = step->source;
    add(check, step->destination, step->pages, use);
    return RESUME_OK;
}

static int add_steps(struct check *check)
{
    const struct resume_placement *plan = check->plan;
    const uint64_t listed = (uint64_t)plan->step_count + plan->final_count;
    uint64_t end = 0;

    if (plan->move_count > plan->step_count || plan->last.count > RESUME_PLACEMENT_LAST_STEPS) {
        return wrong(check, "order", 0);
    }
    for (uint64_t i = 0; i < listed + plan->last.count; i++) {
        const struct resume_placement_step *step = i < plan->step_count ? &plan->steps[i]
                                                   : i < listed ? &plan->final[i - plan->step_count]
                                                                : &plan->last.steps[i - listed];
        const uint32_t stage = i < plan->step_count ? STAGE_FIRST
                               : i < listed         ? STAGE_FINAL
                                                    : STAGE_LAST;
        const int moves = step->source != RESUME_PLACEMENT_ZERO;
        const int ascends = i < plan->move_count || stage == STAGE_FINAL;
        int err;

        if (stage == STAGE_FIRST && moves != (i < plan->move_count)) {
            return wrong(check, "order", 0);
        }
        err = add_step(check, step, i, stage);
        if (err != RESUME_OK) {
            return err;
        }
        if (ascends && i != plan->step_count && step->destination < end) {
            return wrong(check, "order", step->destination);
        }
        end = step->destination + step->pages;
    }
    return RESUME_OK;
}

static int add_rest(struct check *check)
{
    const struct resume_placement_input *input = check->input;
    const struct resume_placement *plan = check->plan;

    if (plan->area_count != input->area_count || plan->home.first != input->home.first ||
        plan->home.count != input->home.count || !sorted_runs(plan->clear, plan->clear_count)) {
        return wrong(check, "order", 0);
    }
    for (uint32_t i = 0; i < plan->area_count; i++) {
        const struct resume_placement_area *area = &input->areas[i];

        if (!valid(plan->area[i], area->pages) || area->below < plan->area[i] ||
            area->below - plan->area[i] < area->pages) {
            return wrong(check, "area", plan->area[i] & (RESUME_FRAMES_END - 1));
        }
        add(check, plan->area[i], area->pages,
            (struct use){.type = USE_AREA,
                         .stage = (area->flags & RESUME_PLACEMENT_LAST) != 0 ? STAGE_LAST
                                                                             : STAGE_FINAL});
    }
    if (input->home.count != 0) {
        add(check, input->home.first, input->home.count, (struct use){.type = USE_HOME});
    }
    return RESUME_OK;
}

/* Heap sort by the first frame: in place, no recursion, never slow. */
static void sink(struct use *uses, uint64_t root, uint64_t count)
{
    const struct use moving = uses[root];
    uint64_t hole = root;

    while (hole < count / 2) {
        uint64_t child = 2 * hole + 1;

        if (child + 1 < count && uses[child].first < uses[child + 1].first) {
            child++;
        }
        if (uses[child].first <= moving.first) {
            break;
        }
        uses[hole] = uses[child];
        hole = child;
    }
    uses[hole] = moving;
}

static void sort_uses(struct use *uses, uint64_t count)
{
    for (uint64_t root = count / 2; root-- > 0;) {
        sink(uses, root, count);
    }
    for (uint64_t last = count; last-- > 1;) {
        const struct use greatest = uses[0];

        uses[0] = uses[last];
        uses[last] = greatest;
        sink(uses, 0, last);
    }
}

/* ---- The guest's wishes, by number of the page ---- */

/* How many runs begin at or before a page: of ascending pages, moved on; of others, searched. */
struct cursor {
    uint32_t ram;
    uint32_t content;
    uint32_t home;
};

static void search(const struct resume_page_run *runs, uint32_t count, uint64_t page, uint32_t *ret)
{
    uint32_t low = 0;
    uint32_t high = count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (runs[middle].first <= page) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret = low;
}

/* Is @page in one of the runs? Cuts @end to where that changes. */
static int is_in(const struct resume_page_run *runs, uint32_t count, uint32_t *begun, uint64_t page,
                 uint64_t *end)
{
    uint64_t change = RESUME_FRAMES_END;
    int inside = 0;

    while (*begun < count && runs[*begun].first <= page) {
        ++*begun;
    }
    if (*begun < count) {
        change = runs[*begun].first;
    }
    if (*begun > 0 && page - runs[*begun - 1].first < runs[*begun - 1].count) {
        change = runs[*begun - 1].first + runs[*begun - 1].count;
        inside = 1;
    }
    if (change < *end) {
        *end = change;
    }
    return inside;
}

static enum want want_of(const struct resume_placement_input *input, struct cursor *cursor,
                         uint64_t page, uint64_t *end)
{
    const int home = is_in(&input->home, input->home.count != 0, &cursor->home, page, end);
    const int ram = is_in(input->ram, input->ram_count, &cursor->ram, page, end);
    const int content = is_in(input->content, input->content_count, &cursor->content, page, end);

    if (!ram) {
        return home || content ? WANT_IMPOSSIBLE : WANT_NOTHING;
    }
    if (home) {
        return WANT_UNTOUCHED_HOME;
    }
    return content ? WANT_CONTENT : WANT_ZERO;
}

static enum resume_frame_kind kind_of(const struct resume_placement_input *input, uint32_t *next,
                                      uint64_t frame, uint64_t *end)
{
    const struct resume_frames *range;
    uint64_t change;
    int inside;

    while (*next < input->frames_count &&
           input->frames[*next].first + input->frames[*next].count <= frame) {
        ++*next;
    }
    if (*next == input->frames_count) {
        return RESUME_FRAME_UNUSABLE;
    }
    range = &input->frames[*next];
    inside = range->first <= frame;
    change = inside ? range->first + range->count : range->first;
    if (change < *end) {
        *end = change;
    }
    return inside ? (enum resume_frame_kind)range->kind : RESUME_FRAME_UNUSABLE;
}

/* ---- One life ---- */

/* The page whose content a frame of a step's source is to bring; what the guest wants there. */
static enum want partner_wants(const struct check *check, const struct life *life, uint64_t *end)
{
    const struct use *source = life->uses[USE_SOURCE];
    const uint64_t page = source->partner + (life->first - source->first);
    const struct resume_placement_input *input = check->input;
    uint64_t page_end = page + (*end - life->first);
    struct cursor cursor = {.home = 0};
    enum want want;

    search(input->ram, input->ram_count, page, &cursor.ram);
    search(input->content, input->content_count, page, &cursor.content);
    want = want_of(input, &cursor, page, &page_end);
    *end = life->first + (page_end - page);
    return want;
}

/* Who may touch what, whenever. */
static int check_access(const struct check *check, const struct life *life)
{
    const struct use *const area = life->uses[USE_AREA];
    const struct use *const source = life->uses[USE_SOURCE];
    const struct use *const destination = life->uses[USE_DESTINATION];
    const int touched = life->cleared || area || source || destination;

    if (life->kind == RESUME_FRAME_UNUSABLE && (touched || life->want != WANT_NOTHING)) {
        return wrong(check, "unusable", life->first);
    }
    if (life->uses[USE_HOME]) {
        return touched ? wrong(check, "home", life->first) : RESUME_OK;
    }
    if (area && (source || (destination && destination->stage == STAGE_FIRST))) {
        return wrong(check, "area in use", life->first);
    }
    if (destination && !area && destination->stage != STAGE_FIRST) {
        return wrong(check, "area in use", life->first);
    }
    if (destination && area && destination->stage != area->stage) {
        return wrong(check, "late", life->first);
    }
    if (destination && !area && life->want == WANT_NOTHING) {
        return wrong(check, "destination", life->first);
    }
    return RESUME_OK;
}

/* What is written before ExitBootServices. @partner: what is wanted where a source leads. */
static int check_loading(const struct check *check, const struct life *life, enum want partner,
                         enum holds *ret_holds)
{
    const struct use *const destination = life->uses[USE_DESTINATION];
    const int moved_here = destination && destination->partner != RESUME_PLACEMENT_ZERO;
    const int in_place = life->want == WANT_CONTENT && !moved_here;
    const int bounced = life->uses[USE_SOURCE] && partner == WANT_CONTENT;
    const int area = life->uses[USE_AREA] != NULL;

    if (in_place + (destination != NULL) + life->cleared > 1) {
        return wrong(check, "written twice", life->first);
    }
    if (in_place + bounced + life->cleared + area > 1) {
        return wrong(check, "loaded twice", life->first);
    }
    if (in_place + bounced + life->cleared + area > 0 && life->kind != RESUME_FRAME_FREE) {
        return wrong(check, "firmware", life->first);
    }
    *ret_holds = in_place        ? HOLDS_OWN
                 : bounced       ? HOLDS_PARTNERS
                 : life->cleared ? HOLDS_ZERO
                 : area          ? HOLDS_AREA
                                 : HOLDS_OLD;
    return RESUME_OK;
}

static int check_end(const struct check *check, const struct life *life, enum holds holds)
{
    const int right = life->want == WANT_CONTENT ? holds == HOLDS_OWN
                      : life->want == WANT_ZERO  ? holds == HOLDS_ZERO
                                                 : holds == HOLDS_ZERO || holds == HOLDS_OLD;

    return right ? RESUME_OK : wrong(check, "dirty", life->first);
}

static enum holds after_destination(const struct life *life)
{
    /* That a move's source holds what is wanted here is checked where the source is. */
    const int fills = life->uses[USE_DESTINATION]->partner == RESUME_PLACEMENT_ZERO;

    return !fills && life->want == WANT_CONTENT ? HOLDS_OWN : HOLDS_ZERO;
}

static int check_life(const struct check *check, const struct life *life, enum want partner)
{
    const struct use *const source = life->uses[USE_SOURCE];
    const struct use *const destination = life->uses[USE_DESTINATION];
    enum holds holds = HOLDS_OLD;
    int err = check_access(check, life);

    if (err == RESUME_OK && !life->uses[USE_HOME]) {
        err = check_loading(check, life, partner, &holds);
    }
    if (err != RESUME_OK || life->uses[USE_HOME]) {
        return err;
    }
    if (destination && source && destination->when < source->when) {
        holds = after_destination(life);
    }
    if (source) {
        if (holds != (partner == WANT_CONTENT ? HOLDS_PARTNERS : HOLDS_ZERO)) {
            return wrong(check, "source", life->first);
        }
        holds = HOLDS_ZERO;
    }
    if (destination && !(source && destination->when < source->when)) {
        holds = after_destination(life);
    }
    return check_end(check, life, holds);
}

/* ---- All lives ---- */

/* Let uses end and begin at life->first. Two of one type at the same time are wrong at any rate. */
static int change_uses(const struct check *check, struct life *life, uint64_t *next)
{
    static const char *const twice[USE_TYPES] = {"area", "home", "read twice", "written twice"};

    for (uint32_t type = 0; type < USE_TYPES; type++) {
        if (life->uses[type] && life->uses[type]->end <= life->first) {
            life->uses[type] = NULL;
        }
    }
    while (*next < check->count && check->uses[*next].first == life->first) {
        const struct use *use = &check->uses[(*next)++];

        const struct use *other = life->uses[use->type];

        if (other != NULL) {
            /* Final steps write nothing but areas: any other that writes there comes too early. */
            const int early = use->type == USE_DESTINATION &&
                              (use->stage == STAGE_FIRST) != (other->stage == STAGE_FIRST);

            return wrong(check, early ? "area in use" : twice[use->type], life->first);
        }
        life->uses[use->type] = use;
    }
    return RESUME_OK;
}

static int check_lives(const struct check *check)
{
    struct life life = {.first = 0};
    struct cursor cursor = {.home = 0};
    uint64_t next = 0;
    uint32_t frames_next = 0;
    uint32_t clear_begun = 0;

    while (life.first < RESUME_FRAMES_END) {
        enum want partner = WANT_NOTHING;
        int err = change_uses(check, &life, &next);

        if (err != RESUME_OK) {
            return err;
        }
        life.end = next < check->count ? check->uses[next].first : RESUME_FRAMES_END;
        for (uint32_t type = 0; type < USE_TYPES; type++) {
            if (life.uses[type] && life.uses[type]->end < life.end) {
                life.end = life.uses[type]->end;
            }
        }
        life.cleared = is_in(check->plan->clear, check->plan->clear_count, &clear_begun, life.first,
                             &life.end);
        life.kind = kind_of(check->input, &frames_next, life.first, &life.end);
        life.want = want_of(check->input, &cursor, life.first, &life.end);
        if (life.want == WANT_IMPOSSIBLE) {
            return resume_fail(check->diag, RESUME_EINVAL, "placement plan", "ram",
                               life.first << RESUME_PAGE_SHIFT, 0, 0, RESUME_NO_VCPU);
        }
        if (life.uses[USE_SOURCE]) {
            partner = partner_wants(check, &life, &life.end);
        }
        err = check_life(check, &life, partner);
        if (err != RESUME_OK) {
            return err;
        }
        life.first = life.end;
    }
    return RESUME_OK;
}

uint64_t resume_placement_check_size(const struct resume_placement *plan)
{
    const uint64_t steps =
        (uint64_t)plan->step_count + plan->final_count + RESUME_PLACEMENT_LAST_STEPS;

    return sizeof(struct use) * (2 * steps + RESUME_PLACEMENT_AREAS + 1);
}

int resume_placement_check(const struct resume_placement_input *input,
                           const struct resume_placement *plan, void *scratch,
                           uint64_t scratch_size, struct resume_diag *diag)
{
    struct check check = {.input = input, .plan = plan, .diag = diag, .uses = scratch};
    int err;

    if (!arguments_are_valid(input, plan) || scratch == NULL ||
        (uintptr_t)scratch % _Alignof(struct use) != 0) {
        return resume_fail(diag, RESUME_EINVAL, "placement plan", "argument", 0, 0, 0,
                           RESUME_NO_VCPU);
    }
    if (scratch_size < resume_placement_check_size(plan)) {
        return resume_fail(diag, RESUME_ENOSPC, "placement plan", "scratch", 0, scratch_size,
                           resume_placement_check_size(plan), RESUME_NO_VCPU);
    }
    err = add_steps(&check);
    if (err == RESUME_OK) {
        err = add_rest(&check);
    }
    if (err != RESUME_OK) {
        return err;
    }
    sort_uses(check.uses, check.count);
    return check_lives(&check);
}
