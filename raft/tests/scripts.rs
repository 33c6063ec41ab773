//! Golden interaction scripts: one test for each story in `tests/scripts`.

mod script;

use std::collections::BTreeSet;

use holdfast_machine::Numbered;
use holdfast_raft::{
    Alarm, Bug, DropCause, MembershipEdge, NoPlant, ProgressEdge, Refusal, RoleEdge, TransferEdge,
};

/// A test for each script: it runs, breaks nothing, and says what it said before.
macro_rules! stories {
    ($( #[test] fn $name:ident; )+) => {
        const STORIES: &[&str] = &[$( stringify!($name) ),+];

        $( #[test]
        fn $name() {
            script::story(stringify!($name));
        } )+
    };
}

stories! {
    #[test] fn restarted_cluster_elects_soon;
    #[test] fn role_t1_ask_around;
    #[test] fn role_t2_ask_again;
    #[test] fn role_t3_campaign;
    #[test] fn role_t4_stand_back;
    #[test] fn role_t5_heed_leader;
    #[test] fn role_t6_adopt_term;
    #[test] fn role_t7_take_over;
    #[test] fn role_t8_start_over;
    #[test] fn role_t9_win_election;
    #[test] fn role_t10_give_way;
    #[test] fn role_t11_resign_without_quorum;
    #[test] fn role_t12_resign_stalled;
    #[test] fn role_t13_resign_removed;
    #[test] fn refused_leader_is_succeeded_in_turn;
    #[test] fn refused_leader_with_shared_votes_is_succeeded_soon;
    #[test] fn refused_leader_is_succeeded_at_the_second_attempt;
    #[test] fn progress_t1_start_pipeline;
    #[test] fn progress_t2_fall_back;
    #[test] fn progress_t3_probe_again;
    #[test] fn progress_t4_offer_snapshot;
    #[test] fn progress_t5_finish_snapshot;
    #[test] fn progress_t6_abandon_snapshot;
    #[test] fn membership_t1_adjust;
    #[test] fn membership_t2_enter_joint;
    #[test] fn membership_t3_commit_joint;
    #[test] fn membership_t4_leave_joint;
    #[test] fn membership_t5_complete;
    #[test] fn membership_t6_revert_to_stable;
    #[test] fn membership_t7_revert_to_adjusting;
    #[test] fn membership_t8_revert_to_entering;
    #[test] fn membership_t9_revert_to_joint;
    #[test] fn membership_t10_revert_to_leaving;
    #[test] fn transfer_t1_begin;
    #[test] fn transfer_t2_complete;
    #[test] fn transfer_t3_begin_again;
    #[test] fn transfer_t4_discard;
    #[test] fn transfer_t5_install;
    #[test] fn transfer_t6_fail;
    #[test] fn aba_truncation;
    #[test] fn alarm_ack_beyond_log;
    #[test] fn alarm_acknowledged_lost;
    #[test] fn alarm_committed_conflict;
    #[test] fn alarm_impossible_configuration;
    #[test] fn alarm_own_boot_from_the_future;
    #[test] fn alarm_second_leader;
    #[test] fn applies_in_bounded_portions;
    #[test] fn asymmetric_howard_abraham;
    #[test] fn asymmetric_receive_only;
    #[test] fn asymmetric_send_only;
    #[test] fn change_needs_own_term_commit;
    #[test] fn change_refused_with_reason;
    #[test] fn change_takes_effect_in_two_steps;
    #[test] fn change_that_could_not_commit_is_refused;
    #[test] fn commit_rides_along;
    #[test] fn commits_before_its_own_sync;
    #[test] fn commits_own_term_only;
    #[test] fn configuration_acts_when_appended;
    #[test] fn conflict_repair_over_several_terms;
    #[test] fn conflict_repair_takes_a_round_trip_per_term;
    #[test] fn cut_off_voter_meets_unknown_members;
    #[test] fn cut_off_voter_votes_for_a_stranger;
    #[test] fn damaged_log_is_replaced_by_a_snapshot;
    #[test] fn damaged_log_is_replaced_by_another_leader;
    #[test] fn damaged_log_never_acknowledges_past_a_hole;
    #[test] fn damaged_log_waits_for_a_message_to_this_boot;
    #[test] fn damaged_log_waits_for_an_established_leader;
    #[test] fn damaged_log_with_a_trusted_end_votes;
    #[test] fn damaged_log_with_an_untrusted_end_is_barred;
    #[test] fn entries_on_disk_are_read_back;
    #[test] fn entries_on_disk_are_read_back_late;
    #[test] fn entries_on_disk_are_read_back_too_late;
    #[test] fn entries_on_disk_cannot_be_read;
    #[test] fn entries_stay_until_durable_and_applied;
    #[test] fn entries_up_to_a_size_stay_in_memory;
    #[test] fn entries_on_disk_are_trimmed_while_read;
    #[test] fn erratum_2015;
    #[test] fn etcd_20418_read_round_reused;
    #[test] fn figure_8;
    #[test] fn figure_8_e;
    #[test] fn hard_state_older_than_the_log_is_lost;
    #[test] fn identity_of_messages;
    #[test] fn late_acknowledgement_moves_nothing_back;
    #[test] fn late_rejection_changes_nothing;
    #[test] fn leader_completeness;
    #[test] fn leader_counts_its_durable_index;
    #[test] fn leader_heard_by_too_few_resigns;
    #[test] fn learner_counts_for_nothing;
    #[test] fn learner_is_promoted_when_caught_up;
    #[test] fn learner_stays_behind;
    #[test] fn local_snapshot_is_of_what_is_applied;
    #[test] fn local_snapshot_trims_the_log;
    #[test] fn left_out_and_still_needed;
    #[test] fn log_matching;
    #[test] fn log_matching_keeps_what_agrees;
    #[test] fn lost_votes_are_never_counted;
    #[test] fn members_are_bounded;
    #[test] fn new_boot_is_counted_anew;
    #[test] fn one_append_per_peer_and_turn;
    #[test] fn openraft_1808_stale_configuration_after_snapshot;
    #[test] fn pipelining_window;
    #[test] fn power_cut_of_all_nodes;
    #[test] fn prevote_raises_no_term;
    #[test] fn read_at_a_follower;
    #[test] fn read_by_a_node_without_leader;
    #[test] fn read_refused_when_leadership_is_lost;
    #[test] fn read_round_confirms_all_queued;
    #[test] fn read_waits_for_own_term_commit;
    #[test] fn reads_are_bounded;
    #[test] fn removed_node_cannot_disrupt;
    #[test] fn removed_node_is_told_and_silent;
    #[test] fn snapshot_crash_after_it_is_in_place;
    #[test] fn snapshot_crash_before_it_is_in_place;
    #[test] fn snapshot_in_pieces_is_resumed;
    #[test] fn snapshot_keeps_what_follows;
    #[test] fn snapshot_pieces_come_twice;
    #[test] fn stalled_disk_without_successor;
    #[test] fn sticks_to_a_live_leader;
    #[test] fn stuck_higher_term_is_rejoined;
    #[test] fn transfer_catches_up_and_stops_accepting;
    #[test] fn transfer_is_given_up;
    #[test] fn transfer_late_timeout_now_is_dead;
    #[test] fn transfer_overrides_stickiness;
    #[test] fn transfer_race_with_an_election;
    #[test] fn transfer_targets;
    #[test] fn transfer_to_a_dead_node_leaves_the_leader;
    #[test] fn uncommitted_log_is_bounded;
    #[test] fn votes_for_newer_logs_only;
    #[test] fn votes_once_per_term;
    #[test] fn window_in_bytes;
}

/// A core with one rule left out for each script: it must end up broken.
macro_rules! planted {
    ($( #[test] fn $name:ident: $bug:ident; )+) => {
        const PLANTED: &[&str] = &[$( stringify!($name) ),+];

        $( #[test]
        fn $name() {
            script::planted(stringify!($name), Bug::$bug);
        } )+
    };
}

planted! {
    #[test] fn planted_ack_before_sync: AckBeforeSync;
    #[test] fn planted_addressee_boot_ignored: AddresseeBootIgnored;
    #[test] fn planted_change_before_own_term: ChangeBeforeOwnTerm;
    #[test] fn planted_chunk_twice: ChunkTwice;
    #[test] fn planted_commit_beyond_verified: CommitBeyondVerified;
    #[test] fn planted_commit_prior_term: CommitPriorTerm;
    #[test] fn planted_configuration_not_from_snapshot: ConfigurationNotFromSnapshot;
    #[test] fn planted_configuration_not_reverted: ConfigurationNotReverted;
    #[test] fn planted_durable_aba: DurableAba;
    #[test] fn planted_hole_passed_by_ack: HolePassedByAck;
    #[test] fn planted_joint_counts_new_only: JointCountsNewOnly;
    #[test] fn planted_joint_left_early: JointLeftEarly;
    #[test] fn planted_late_vote_counted: LateVoteCounted;
    #[test] fn planted_leader_counts_unsynced: LeaderCountsUnsynced;
    #[test] fn planted_learner_counted: LearnerCounted;
    #[test] fn planted_lost_hard_state_counts: LostHardStateCounts;
    #[test] fn planted_lower_term_ignored: LowerTermIgnored;
    #[test] fn planted_match_regresses: MatchRegresses;
    #[test] fn planted_no_check_quorum: NoCheckQuorum;
    #[test] fn planted_non_voter_campaigns: NonVoterCampaigns;
    #[test] fn planted_not_sticky: NotSticky;
    #[test] fn planted_old_boot_counted: OldBootCounted;
    #[test] fn planted_read_before_own_term: ReadBeforeOwnTerm;
    #[test] fn planted_read_joins_old_round: ReadJoinsOldRound;
    #[test] fn planted_request_vote_before_durable: RequestVoteBeforeDurable;
    #[test] fn planted_round_reused: RoundReused;
    #[test] fn planted_sticky_during_transfer: StickyDuringTransfer;
    #[test] fn planted_strangers_dropped: StrangersDropped;
    #[test] fn planted_timeout_now_unbound: TimeoutNowUnbound;
    #[test] fn planted_truncates_without_conflict: TruncatesWithoutConflict;
    #[test] fn planted_vote_before_durable: VoteBeforeDurable;
    #[test] fn planted_vote_ignores_log: VoteIgnoresLog;
    #[test] fn planted_vote_not_persisted: VoteNotPersisted;
    #[test] fn planted_votes_twice: VotesTwice;
}

#[test]
fn every_script_is_a_test() {
    let known = STORIES.iter().chain(PLANTED).map(ToString::to_string).collect();
    assert_eq!(script::names(), known);
}

#[test]
fn every_bug_that_can_be_planted_has_a_script_that_notices_it() {
    let named = |name: &&str| name.trim_start_matches("planted_").replace('_', "");
    let noticed: BTreeSet<String> = PLANTED.iter().map(named).collect();
    let missing: Vec<&str> =
        Bug::ALL.iter().map(|bug| bug.name()).filter(|bug| !noticed.contains(&bug.to_lowercase())).collect();
    assert_eq!(missing, [""; 0]);
}

/// All scripts together take every edge of the four machines, and show every refusal, every cause of a drop, every alarm.
#[test]
fn scripts_see_everything_that_has_a_number() {
    let seen: BTreeSet<String> = STORIES.iter().flat_map(|name| script::run::<NoPlant>(name).seen).collect();
    let edges = |machine: &'static str, labels: Vec<String>| {
        labels.into_iter().map(move |label| format!("{machine} {label}"))
    };
    let wanted = edges("role", labels::<RoleEdge>())
        .chain(edges("progress", labels::<ProgressEdge>()))
        .chain(edges("membership", labels::<MembershipEdge>()))
        .chain(edges("transfer", labels::<TransferEdge>()))
        .chain(labels::<Refusal>())
        .chain(labels::<DropCause>())
        .chain(labels::<Alarm>());
    let missing: Vec<String> = wanted.filter(|label| !seen.contains(label)).collect();
    assert_eq!(missing, [""; 0], "no script shows these");
}

fn labels<N: Numbered>() -> Vec<String> {
    N::ALL.iter().map(|one| one.label()).collect()
}

/// Each edge of the four machines has a script that is named after it, and takes it.
#[test]
fn every_edge_has_its_script() {
    for (machine, labels) in [
        ("role", labels::<RoleEdge>()),
        ("progress", labels::<ProgressEdge>()),
        ("membership", labels::<MembershipEdge>()),
        ("transfer", labels::<TransferEdge>()),
    ] {
        for label in labels {
            let mut name = machine.to_owned();
            for letter in label.replace(' ', "").chars() {
                if letter.is_uppercase() {
                    name.push('_');
                }
                name.extend(letter.to_lowercase());
            }
            assert!(STORIES.contains(&name.as_str()), "{label} has no script {name}");
            let taken = script::run::<NoPlant>(&name).seen.contains(&format!("{machine} {label}"));
            assert!(taken, "{name} does not take {label}");
        }
    }
}

#[test]
fn bad_input_out_of_range_is_dropped_and_counted() {
    script::bad_input::out_of_range();
}

#[test]
fn bad_input_at_random_never_panics() {
    script::bad_input::at_random(400);
}
