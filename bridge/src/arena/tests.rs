//! What comes out is what went in, and memory lasts.

use super::*;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

#[test]
fn a_frame_of_any_length_comes_out_as_it_went_in() {
    let mut arena = Arena::new(1 << 20);
    for len in [1, 60, 256, 257, 1514, 2048, 2049, 9014, 10_240, 10_241, 65_549, MAX_FRAME] {
        let data = pattern(len);
        let id = arena
            .land(|landing| {
                assert_eq!(landing.len(), ROOM + MAX_FRAME);
                landing[ROOM..ROOM + len].copy_from_slice(&data);
                Ok((len, VnetHeader::default()))
            })
            .unwrap();
        assert_eq!(arena.bytes(id), data);
        let copy = arena.insert(&data, VnetHeader::default()).unwrap();
        assert_eq!(arena.bytes(copy), data);
        arena.free(id);
        arena.free(copy);
    }
    assert_eq!(arena.in_use(), 0);
}

#[test]
fn frames_and_the_payload_of_tcp_begin_at_a_cache_line_and_no_payload_at_the_end_of_a_page() {
    let mut arena = Arena::new(16 << 20);
    for (len, payload) in [(100, 0), (1514, 0), (9014, 0), (62_651, 66)] {
        for _ in 0..200 {
            let id = arena.insert(&pattern(len), VnetHeader::default()).unwrap();
            let frame = arena.bytes(id).as_ptr().addr();
            assert_eq!((frame + payload) % 64, 0, "a frame of {len} bytes");
            // UDP or TCP, over IPv4 or IPv6, with or without a tag and options; or the frame as a whole.
            for header in [0, 14, 42, 46, 54, 58, 62, 66, 70, 74, 78, 82, 86, 90, 98, 118] {
                let from_end = 4096 - (frame + header) % 4096;
                assert!(len < 16_384 && header > 0 || from_end > 15, "{len} bytes, {header} of them headers");
            }
        }
    }
}

#[test]
fn many_frames_land_at_once_each_in_a_slot_of_its_size() {
    let mut arena = Arena::new(1 << 20);
    let lens = [Some(60), None, Some(MAX_FRAME), Some(1514), None, Some(65_549), Some(300)];
    let mut kept = [None; LANDINGS];
    let before = 10;
    let read = |places: &mut [&mut [u8]]| {
        assert_eq!(places.len(), lens.len());
        for (place, len) in places.iter_mut().zip(lens) {
            place[before..before + len.unwrap_or(0)].copy_from_slice(&pattern(len.unwrap_or(0)));
        }
        lens
    };
    let found = |lens: &[Option<usize>; 7], n: usize, place: &mut [u8]| {
        let len = lens[n]?;
        assert!(place[before..].starts_with(&pattern(len)));
        Some((len, VnetHeader { gso_size: len as u16, ..VnetHeader::default() }))
    };
    assert_eq!(arena.land_many(lens.len(), ROOM - before, &mut kept, read, found), lens);
    for (id, len) in kept.iter().zip(lens) {
        assert_eq!(id.map(|id| arena.bytes(id).to_vec()), len.map(pattern));
        assert_eq!(id.map(|id| arena.vnet(id).gso_size), len.map(|len| len as u16));
    }
    assert!(kept[lens.len()..].iter().all(Option::is_none));
    assert_eq!(arena.in_use(), 5);
    for id in kept.into_iter().flatten() {
        arena.free(id);
    }
    // When nothing is free, nothing is asked for.
    let mut held = Vec::new();
    while let Some(id) = arena.insert(&pattern(MAX_FRAME), VnetHeader::default()) {
        held.push(id);
    }
    arena.land_many(4, 0, &mut kept, |places| assert!(places.is_empty()), |(), _, _| None);
    for id in held {
        arena.free(id);
    }
    assert_eq!(arena.in_use(), 0);
}

#[test]
fn memory_lasts_as_long_as_the_buffer_for_every_frame_size() {
    let buffer = 1 << 20;
    for len in [1, 64, 256, 257, 1514, 2049, 9014, 65_549] {
        let mut arena = Arena::new(buffer);
        let data = pattern(len);
        let fit = buffer as usize / CELL / cells(len) as usize;
        for _ in 0..fit {
            assert!(arena.insert(&data, VnetHeader::default()).is_some(), "{len} bytes");
        }
    }
}

#[test]
fn a_failed_read_takes_nothing() {
    let mut arena = Arena::new(1 << 16);
    let error = arena.land(|_| Err(std::io::ErrorKind::WouldBlock.into())).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(arena.in_use(), 0);
}

#[test]
fn a_lent_frame_is_read_elsewhere_and_written_by_nobody_until_it_is_back() {
    let mut arenas = [Arena::new(1 << 16), Arena::new(1 << 16)];
    Arena::introduce(&mut arenas);
    let [near, far] = &mut arenas;
    let vnet = VnetHeader { gso_size: 7, ..VnetHeader::default() };
    let id = near.insert(&pattern(1514), vnet).unwrap();
    let adopted = [near.lend(id).unwrap(), near.lend(id).unwrap()].map(|l| far.adopt(l).unwrap());
    assert_eq!((near.in_use(), far.in_use()), (1, 0));
    for copy in adopted {
        assert!(far.is_adopted(copy) && far.bytes_with_room_mut(copy).is_none());
        assert!(near.bytes_with_room_mut(id).is_none());
        assert_eq!((far.bytes(copy), far.vnet(copy)), (&pattern(1514)[..], vnet));
        let (owner, lease) = far.give_back(copy).unwrap();
        assert_eq!(owner, 0);
        assert_eq!(near.take_back(lease), Some(id));
    }
    assert!(near.bytes_with_room_mut(id).is_some());
    near.free(id);
    assert_eq!((near.in_use(), far.in_use()), (0, 0));
}

#[test]
fn a_lease_of_a_stranger_opens_nothing() {
    let (mut stranger, mut arena) = (Arena::new(1 << 16), Arena::new(1 << 16));
    Arena::introduce(std::slice::from_mut(&mut arena));
    let id = stranger.insert(&pattern(60), VnetHeader::default()).unwrap();
    let lease = arena.adopt(stranger.lend(id).unwrap()).unwrap_err();
    assert_eq!(stranger.take_back(lease), Some(id));
    let lease = stranger.lend(id).unwrap();
    assert_eq!(arena.take_back(lease), None);
}

#[test]
fn threads_pass_frames_on_and_every_byte_arrives() {
    let mut arenas = [Arena::new(1 << 18), Arena::new(1 << 18)];
    Arena::introduce(&mut arenas);
    let [mut near, mut far] = arenas;
    let (to_far, at_far) = std::sync::mpsc::sync_channel::<Lease>(16);
    let (to_near, at_near) = std::sync::mpsc::channel::<Lease>();
    let reader = std::thread::spawn(move || {
        for (n, lease) in at_far.into_iter().enumerate() {
            let id = far.adopt(lease).unwrap();
            assert_eq!(far.bytes(id), pattern(60 + n % 3000));
            to_near.send(far.give_back(id).unwrap().1).unwrap();
        }
    });
    for n in 0..5000 {
        let id = near.insert(&pattern(60 + n % 3000), VnetHeader::default()).unwrap();
        to_far.send(near.lend(id).unwrap()).unwrap();
        while let Ok(lease) = at_near.try_recv() {
            let id = near.take_back(lease).unwrap();
            near.free(id);
        }
    }
    drop(to_far);
    reader.join().unwrap();
    let left: Vec<_> = at_near.into_iter().filter_map(|lease| near.take_back(lease)).collect();
    for id in left {
        near.free(id);
    }
    assert_eq!(near.in_use(), 0);
}
