//! The audit log of reads is written in whole batches.

use super::*;
use crate::store::reads::Wanted;

#[tokio::test]
async fn what_makes_no_whole_batch_waits_for_the_next_time() {
    for world in worlds("noted").await {
        let mut config = world.config.clone();
        config.reads.batch_max = 2;
        let policy = world.publishing.0.policy.clone();
        let publishing = Publishing::new(world.store.clone(), policy, &config, b"secret");
        let kept = async || {
            let wanted = Wanted { first: 10, ..Wanted::default() };
            world.store.kept_reads(&wanted).await.unwrap().len()
        };
        let ann = actor(&[]);
        (0..5).for_each(|n| publishing.note(&ann, &n.to_string(), 1, Path::Root(Root::List), Ended::With(n)));
        publishing.write_reads(false).await.unwrap();
        assert_eq!(kept().await, 4, "two batches");
        publishing.write_reads(false).await.unwrap();
        assert_eq!(kept().await, 5, "what waited goes with the next time, however little it is");
        publishing.note(&ann, "6", 1, Path::Root(Root::List), Ended::Failed);
        publishing.write_reads(true).await.unwrap();
        assert_eq!(kept().await, 6);
    }
}
