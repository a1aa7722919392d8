"""Golden rows of every set, in the exact format of its files, with its quirks."""

import json

import pytest

from crab_jax import errors
from crab_jax.annotation import schema
from crab_jax.annotation.readers import reading
from crab_jax.annotation.readers import source
from crab_jax.data import tasks


def _write(folder, **contents):
  for name, text in contents.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def _read(name, folder, **options):
  """Rows, faults, and what is told; the rows pass the schema."""
  said = []
  lines, faults = reading.read(
    name, folder, folder, source.Options(**options), said.append
  )
  rows, wrong = schema.parse(lines, tasks.Tasks())
  assert wrong == []
  return rows, [str(fault) for fault in faults], said


def test_ave(tmp_path):
  """A header in one copy, none in another; dashed ids; events of no length."""
  _write(
    tmp_path,
    **{
      "trainSet.txt": "Category&VideoID&Quality&StartTime&EndTime\n"
      "Church bell&RUhOCu3LNXM&good&0&10\r\n"
      "Male speech, man speaking&-1Di5aOFPCE&good&2&5\n",
      "valSet.txt": "Bark&abc&good&1&x\nBark&abc\n",
      "testSet.txt": "Bark&RUhOCu3LNXM_2&good&1&4\n"
      "Church bell&VWi2ENBuTbw&good&0&0\n",
      "Annotations.txt": "is not read",
      "AVE/RUhOCu3LNXM.mp4": "",
    },
  )
  rows, faults, said = _read("ave", tmp_path)
  assert [(row.split, row.events[0].label) for row in rows] == [
    ("train", "Church bell"),
    ("train", "Male speech, man speaking"),
    ("test", "Bark"),
  ]
  assert rows[0].media["video"] == "AVE/RUhOCu3LNXM.mp4"
  assert rows[1].media["video"] == "-1Di5aOFPCE.mp4"  # missing: counted later
  assert (rows[1].events[0].start, rows[1].events[0].end) == (2, 5)
  assert [fault.split(":")[0] for fault in faults] == [
    "valSet.txt line 1",
    "valSet.txt line 2",
  ]
  assert said == [
    "ave: 1 left out, no_length",
    "ave: 6 rows, the published set has 4143",
  ]


def test_ave_without_splits(tmp_path):
  _write(
    tmp_path, **{"data/Annotations.txt": "Bark&a&good&0&3\nBark&a&good&4&9\n"}
  )
  rows, _, _ = _read("ave", tmp_path)
  assert [(row.split, row.group) for row in rows] == [("", "a"), ("", "a")]


def test_avvp(tmp_path):
  """Tabs in files named csv; ids with underscores; train without times."""
  _write(
    tmp_path,
    **{
      "AVVP_train.csv": "filename\tevent_labels\n"
      "-0A_b_30_40\tSpeech,Frying_(food)\n",
      "AVVP_val_pd.csv": "filename\tevent_labels\nv1_0_10\tCar\n",
      "AVVP_test_pd.csv": "filename\tevent_labels\nt1_5_15\tSpeech\nt2_0_10\tDog\n",
      "AVVP_eval_audio.csv": "filename\tonset\toffset\tevent_labels\n"
      "t1_5_15\t0\t4\tSpeech\nt1_5_15\t6\t10\tSpeech\nv1_0_10\t1\t1\tCar\n"
      "v1_0_10\t1\t2\n",
      "AVVP_eval_visual.csv": "filename\tonset\toffset\tevent_labels\n"
      "t1_5_15\t2\t5\tDog\nv1_0_10\t0\t10\tCar\n",
    },
  )
  rows, faults, _ = _read("avvp", tmp_path)
  train, val, test, empty = rows
  assert train.labels == ("Speech", "Frying_(food)")
  assert train.events is None
  assert train.group == "-0A_b"
  assert (val.split, len(val.events)) == ("val", 1)
  assert test.split == "test"
  assert [(e.label, e.start, e.modality) for e in test.events] == [
    ("Speech", 0, "audio"),
    ("Speech", 6, "audio"),
    ("Dog", 2, "visual"),
  ]
  assert empty.events == ()
  assert len(faults) == 2
  assert "AVVP_eval_audio.csv line 5" in faults[1]


def test_unav(tmp_path):
  tree = {
    "version": "1",
    "database": {
      "-x1": {
        "subset": "validation", "duration": 42.3, "fps": 25,
        "annotations": [
          {"segment": [-0.1, 3.27], "label": "dog barking", "label_id": 3},
          {"segment": [5.0, 5.0], "label": "dog barking", "label_id": 3},
        ],
      },
      "x2": {"subset": "train", "duration": 9.0, "annotations": [{"label": "a"}]},
    },
  }  # fmt: skip
  _write(tmp_path, **{"unav100_annotations.json": json.dumps(tree)})
  (row,), (fault,), said = _read("unav", tmp_path)
  assert row.split == "val"
  assert [event.end for event in row.events] == [3.27]
  assert said == ["unav: 1 left out, no_length"]
  assert fault.startswith("unav100_annotations.json x2: ")


@pytest.mark.parametrize("tree", [[], {"x": 1}, {"database": []}])
def test_unav_without_a_database(tree, tmp_path):
  _write(tmp_path, **{"unav100_annotations.json": json.dumps(tree)})
  with pytest.raises(errors.UserError, match=r"unav100_\S+ should be"):
    _read("unav", tmp_path)


def _question(**more):
  return {
    "video_id": "00000093", "question_id": 5,
    "type": '["Audio-Visual", "Counting"]',
    "question_content": "How many <Object> are there <LR> of <Object>?",
    "templ_values": '["cello", "left", "drum"]', "question_deleted": 0,
    "anser": "more than ten", **more,
  }  # fmt: skip


def test_avqa(tmp_path):
  """Lists in strings, slots by order, deleted questions, `anser`."""
  rows = [
    _question(), _question(question_deleted=1), _question(type="x"),
    _question(templ_values='["cello"]'),
  ]  # fmt: skip
  for folder in ("json", "json_update"):
    _write(tmp_path, **{f"data/{folder}/avqa-train.json": json.dumps(rows)})
  with pytest.raises(errors.UserError, match="--labels, one of json, json_upd"):
    _read("avqa", tmp_path)
  (row,), (fault, empty), said = _read("avqa", tmp_path, labels="json")
  assert row.question == "How many cello are there left of drum?"
  assert row.answer == "more than ten"
  assert row.question_type == '["Audio-Visual", "Counting"]'
  assert fault.startswith("avqa-train.json item 2: ")
  assert "item 3: ValueError: 3 slots, and 1 values" in empty
  assert said == ["avqa: 1 left out, deleted"]


def _choice(index, answer, options):
  return {
    "id": index, "video_name": f"v{index}_000010", "video_id": index,
    "answer": answer, "question_text": "What?", "multi_choice": options,
    "question_relation": "Both", "question_type": "Which",
  }  # fmt: skip


@pytest.mark.parametrize(
  ("answers", "found"),
  [((0, 2), ("a", "it's")), ((1, 4), ("a", "d")), (("b", "d"), ("b", "d"))],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_avqa_thu(tmp_path, answers, found, as_text):
  """Answers are texts, or numbers from 0 or from 1, the same in every file."""
  options = ["a", "b", "it's", "d"]
  options = str(options) if as_text else options
  rows = [_choice(i, answer, options) for i, answer in enumerate(answers)]
  # What one file does not tell, another does.
  other = [_choice(9, answers[1] if answers[0] else 1, options)]
  rows.append({**rows[0], "answer": "e"})
  _write(
    tmp_path,
    **{"train_qa.json": json.dumps(rows), "val_qa.json": json.dumps(other)},
  )
  read, faults, _ = _read("avqa_thu", tmp_path)
  assert tuple(row.answer for row in read[:2]) == found
  assert read[2].answer == (found[1] if answers[0] else "b")
  assert [row.split for row in read] == ["train", "train", "val"]
  assert len(faults) == 1
  assert "train_qa.json item 2" in faults[0]


def test_avqa_thu_where_numbers_do_not_tell(tmp_path):
  """With 1 to 3 of four options both ways are possible: nobody guesses."""
  rows = [_choice(i, i, ["a", "b", "c", "d"]) for i in (1, 2, 3)]
  rows.append(_choice(4, 1, "[a"))
  _write(tmp_path, **{"test.json": json.dumps(rows)})
  read, faults, _ = _read("avqa_thu", tmp_path)
  assert read == []
  assert all("begin at 0 or 1" in fault for fault in faults[:3])
  assert "multi_choice" in faults[3]


def test_s4_and_arig(tmp_path):
  """By position, with a header; training has one frame, test five."""
  _write(
    tmp_path,
    **{
      "s4_meta_data.csv": "name,start,category,split\n"
      "-5Vw_1000,1000,playing_piano,train\n_a_2,2,dog_barking,val\nx,1,y,dev2\n",
      "audio_wav/train/playing_piano/-5Vw_1000.wav": "",
    },
  )
  for task in ("s4", "arig"):
    rows, (fault,), _ = _read(task, tmp_path)
    assert [(row.split, row.frame) for row in rows] == [
      ("train", 0), ("val", 0), ("val", 1), ("val", 2), ("val", 3), ("val", 4),
    ]  # fmt: skip
    assert (
      rows[0].mask == "gt_masks/train/playing_piano/-5Vw_1000/-5Vw_1000_1.png"
    )
    assert rows[0].media == {
      "image": "visual_frames/train/playing_piano/-5Vw_1000/-5Vw_1000_1.png",
      "audio": "audio_wav/train/playing_piano/-5Vw_1000.wav",
    }
    assert rows[0].object == "playing_piano"
    assert "s4_meta_data.csv line 4" in fault


def test_ms3(tmp_path):
  """Frames lie in no split, with or without ".mp4" in their names."""
  _write(
    tmp_path, **{"ms3_meta_data.csv": "name,split\na_1,train\nb_2,test\nc\n"}
  )
  with pytest.raises(errors.UserError, match="names the objects"):
    _read("ms3", tmp_path)
  _write(
    tmp_path,
    **{
      "metadata.csv": "vid,uid,s_min,s_sec,a_obj,split,label\n"
      'a,a_1,0,1,"piano,man",train,v1m\nb,b_2,0,2,dog,test,v1s\n',
      "visual_frames/a_1/a_1.mp4_2.png": "",
      "gt_masks/train/a_1/a_1_1.png": "",
      "visual_frames/a_1/a_1_3.png": "",
      "audio_wav/train/a_1.wav": "",
    },
  )
  rows, faults, said = _read("ms3", tmp_path)
  assert [row.object for row in rows] == ["piano,man"] * 5
  assert rows[0].mask == "gt_masks/train/a_1/a_1_1.png"
  assert [row.media["image"] for row in rows[:3]] == [
    "visual_frames/a_1/a_1_1.png",  # missing: counted later
    "visual_frames/a_1/a_1.mp4_2.png",
    "visual_frames/a_1/a_1_3.png",
  ]
  assert rows[0].media["audio"] == "audio_wav/train/a_1.wav"
  assert said == ["ms3: 1 left out, no_object"]
  assert len(faults) == 1


def test_ref_avs(tmp_path):
  _write(
    tmp_path,
    **{
      "metadata.csv": "vid,uid,split,fid,exp\n"
      'abc_0_10,abc_0_10_hair-dryer_2,train,1,"The object, on the left"\n'
      "abd_0_10,u2,test_n,0,A cat\n"
      "abe,u3,test_s,2\n",
      "media/abc_0_10/audio.wav": "",
    },
  )
  rows, (fault,), _ = _read("ref_avs", tmp_path)
  assert len(rows) == 20
  assert rows[3].expression == "The object, on the left"
  assert (rows[3].object, rows[10].object) == ("hair dryer", "")
  assert rows[3].mask == "gt_mask/abc_0_10/fid_1/00003.png"
  assert rows[3].media["audio"] == "media/abc_0_10/audio.wav"
  assert rows[3].media["image"] == "media/abc_0_10/frames/3.jpg"
  assert rows[3].exists
  assert (rows[10].exists, rows[10].split) == (False, "test")
  assert rows[10].meta["subset"] == "test_n"
  assert "line 4" in fault


def test_cremad(tmp_path):
  """The class of the name, or the vote, which may be a tie."""
  _write(
    tmp_path,
    **{
      "processedResults/summaryTable.csv":
      '"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel",'
      '"MultiModalVote","MultiModalLevel"\n'
      '"1","1001_IEO_NEU_XX","N","50","N","50","N","60"\n'
      '"2","1002_IEO_HAP_LO","N","50","H","50","A:D:H","60"\n'
      '"3","1002_IEO_HAP","N","50","H","50","A","60"\n',
      "VideoFlash/1001_IEO_NEU_XX.flv": "",
      "AudioWAV/1001_IEO_NEU_XX.wav": "",
    },
  )  # fmt: skip
  rows, faults, said = _read("cremad", tmp_path)
  assert [(row.label, row.group) for row in rows] == [
    ("neutral", "1001"),
    ("happy", "1002"),
  ]
  assert rows[0].media == {
    "video": "VideoFlash/1001_IEO_NEU_XX.flv",
    "audio": "AudioWAV/1001_IEO_NEU_XX.wav",
  }
  assert len(faults) == 1
  assert said == ["cremad: 3 rows, the published set has 7442"]
  rows, _, said = _read("cremad", tmp_path, cremad="voted")
  assert [row.label for row in rows] == ["neutral"]
  assert "cremad: 1 left out, tie" in said


def test_meld(tmp_path):
  """Quoted utterances, characters of Windows, a clip name in every split."""
  header = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,"
    "Season,Episode,StartTime,EndTime\n"
  )
  row = '1,"Oh, I\x92m {0}.",Ross,joy,positive,0,3,8,21,"00:16:16,059",x\n'
  _write(
    tmp_path,
    **{
      "train_sent_emo.csv": (header + row.format("a")).encode("latin-1"),
      "dev_sent_emo.csv": header + "1,a,b,anger,negative,0,3,8,21,a,b\n",
      "test_sent_emo.csv": header + "1,a,b,anger,negative,zero,3,8,21,a,b\n",
      "train_splits/dia0_utt3.mp4": "",
      "dev_splits_complete/dia0_utt3.mp4": "",
    },
  )
  rows, (fault,), _ = _read("meld", tmp_path)
  assert [row.media["video"] for row in rows] == [
    "train_splits/dia0_utt3.mp4",
    "dev_splits_complete/dia0_utt3.mp4",
  ]
  assert rows[0].transcript == "Oh, I’m a."
  assert (rows[0].label, rows[1].split) == ("joy", "val")
  assert rows[0].group != rows[1].group
  assert "test_sent_emo.csv line 2" in fault


def test_dfew(tmp_path):
  """Names of four digits, files of five; folders of several folds."""
  for split, text in (("train", "1,1\n0002,7\n3,8\n"), ("test", "16000,4\n")):
    for fold in (1, 2):
      name = f"EmoLabel_DataSplit/{split}(single-labeled)/set_{fold}.csv"
      _write(tmp_path, **{name: f"video_name,label\n{text}"})
  _write(tmp_path, **{"EmoLabel_DataSplit/train(x)/set_1.csv": "other"})
  rows, (fault,), said = _read("dfew", tmp_path, fold=1)
  assert [(row.media["video"], row.label) for row in rows] == [
    ("00001.mp4", "happy"),
    ("00002.mp4", "fear"),
    ("16000.mp4", "angry"),
  ]
  assert "set_1.csv line 4" in fault
  assert said == [
    "dfew: classes 1 to 7 are taken as happy, sad, neutral, angry, surprise,"
    " disgust, fear: see that your copy says so",
    "dfew train: 2 rows, the published set has 9356",
    "dfew test: 1 rows, the published set has 2341",
  ]
  # Nobody tells how many the other folds have.
  assert len(_read("dfew", tmp_path, fold=2)[2]) == 1


def test_mafw(tmp_path):
  """The folder has compound classes and captions beside; quotes in texts."""
  base = "split/single/no_caption/set_1"
  _write(
    tmp_path,
    **{
      f"{base}/train.txt": "00001.mp4 0\n00002.mp4 surprise\n00003.mp4 99\n",
      f"{base}/test.txt": "00004.mp4 helplessness\n",
      "split/compound/no_caption/set_1/train.txt": "00009.mp4 anger_fear\n",
      "split/single/caption/set_1/test.txt": "00009.mp4 fear A cry.\n",
      "single_label.txt": "00001.mp4\tanger\t男人皱眉\tA man’s brows.\n"
      "00002.mp4\tsurprise\t女人\t\n",
    },
  )
  rows, (fault,), _ = _read("mafw", tmp_path)
  assert [(row.label, row.hint) for row in rows] == [
    ("anger", "A man’s brows."),
    ("surprise", ""),
    ("helplessness", ""),
  ]
  assert "train.txt line 3" in fault


def test_mer24(tmp_path):
  _write(
    tmp_path,
    **{"label-disdim.csv": "name,discrete,valence\nsample_1,worried,-1\nx\n",
       "other.csv": "a,b\n1,2\n"},
  )  # fmt: skip
  (row,), (fault,), _ = _read("mer24", tmp_path)
  assert "label-disdim.csv line 3: 1 cells in the place of 3" in fault
  assert (row.label, row.media["video"]) == ("worried", "sample_1.mp4")


def test_ks(tmp_path):
  """The lists of all Kinetics; those of validation say "validate"."""
  header = "label,youtube_id,time_start,time_end,split\n"
  _write(
    tmp_path,
    **{
      "train.csv": f"{header}playing piano,-a_b,7,17,train\n"
      "abseiling,b,0,10,train\nplaying piano,c,x,17,train\n",
      "validate.csv": f"{header}tap dancing,d,0,10,validate\n",
      "classes.txt": "playing piano\ntap dancing\n",
      "train/playing piano/-a_b_000007_000017.mp4": "",
    },
  )
  (row, later), (fault,), said = _read("ks", tmp_path)
  assert row.media["video"] == "train/playing piano/-a_b_000007_000017.mp4"
  assert (later.split, later.label) == ("val", "tap dancing")
  assert "train.csv line 4" in fault
  assert said == ["ks: 1 left out, other_class"]


def test_ks_without_its_list_of_classes(tmp_path):
  header = "label,youtube_id,time_start,time_end,split\n"
  rows = [f"class {i},id{i},0,10,train\n" for i in range(32)]
  _write(tmp_path, **{"train.csv": header + "".join(rows)})
  with pytest.raises(
    errors.UserError, match=r"no classes\.txt, and 32 classes"
  ):
    _read("ks", tmp_path)
  _write(tmp_path, **{"train.csv": header + "".join(rows[:31])})
  assert len(_read("ks", tmp_path)[0]) == 31


def test_ucf(tmp_path):
  """Test lists have no number; groups are not divided."""
  _write(
    tmp_path,
    **{
      "trainlist01.txt": "HandstandPushups/v_HandStandPushups_g08_c01.avi 37\n",
      "testlist01.txt": "HandstandPushups/v_HandStandPushups_g01_c01.avi\nx\n",
      "UCF-101/HandstandPushups/v_HandStandPushups_g08_c01.avi": "",
    },
  )
  (train, test), (fault,), _ = _read("ucf", tmp_path)
  assert train.group == "HandstandPushups g08"
  assert train.label == "HandstandPushups"
  assert train.media["video"].startswith("UCF-101/HandstandPushups/v_Hand")
  assert test.split == "test"
  assert "testlist01.txt line 2" in fault


@pytest.mark.parametrize("task", ["a2v", "v2a"])
def test_pairs(task, tmp_path):
  """Another class, the same split, the sides balanced, the same every time."""
  lines = [
    f'v{i},{i},"{["dog, small", "cat", "car"][i % 3]}",{["train", "test"][i % 2]}'
    for i in range(24)
  ]
  _write(tmp_path, **{"vggsound.csv": "\n".join([*lines, "x,1,y"]) + "\n"})
  rows, (fault,), _ = _read(task, tmp_path)
  assert "line 25" in fault
  for split in ("train", "test"):
    labels = [row.label for row in rows if row.split == split]
    assert labels.count("1") == labels.count("2") == 6
  given, candidate = ("audio", "video") if task == "a2v" else ("video", "audio")
  for row in rows:
    names = [row.meta[f"{candidate}{n}_event"] for n in (1, 2)]
    assert names[0] != names[1]
    assert names[int(row.label) - 1] == row.meta[f"{given}_event"]
  assert rows == _read(task, tmp_path)[0]


def test_avcap(tmp_path):
  rows = [{"video_id": "a_1", "desc": "A dog barks."}, {"video_id": "b"}]
  _write(tmp_path, **{"desc_train.json": json.dumps(rows)})
  (row,), (fault,), _ = _read("avcap", tmp_path)
  assert row.caption == "A dog barks."
  assert "desc_train.json item 1" in fault


def test_every_task_of_the_table_has_a_reader():
  assert {*reading.READERS} == {*tasks.Tasks()}
  assert all(name in reading.listing() for name in reading.READERS)


@pytest.mark.parametrize("name", reading.READERS)
def test_an_empty_folder_is_one_line(name, tmp_path):
  with pytest.raises(errors.UserError, match="has no"):
    _read(name, tmp_path)


def test_an_unknown_reader_is_named():
  with pytest.raises(errors.UserError, match="--reader=x: there are ave, avvp"):
    reading.read("x", None, None, source.Options())


def test_a_cell_that_has_no_end_is_named(tmp_path):
  text = "name,discrete\nsample_1,happy\n"
  _write(tmp_path, **{"a.csv": f'{text}x,"{"y" * 200_000}\n'})
  with pytest.raises(errors.UserError, match=r"a\.csv line \d: field larger"):
    _read("mer24", tmp_path)
