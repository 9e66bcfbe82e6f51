from mal_mm.evaluation import format_ap_table, format_class_table, format_summary


def scores(mean):
    return {
        'instances': 3,
        'mean_iou': mean,
        'boundary_iou': 0.625,
        'class_mean_iou': 0.5,
        'size': {
            'small': {'instances': 2, 'mean_iou': 0.25},
            'medium': {'instances': 1, 'mean_iou': 1.0},
            'large': {'instances': 0, 'mean_iou': None},
        },
        'share_above': {'0.5': 1.0, '0.75': 0.125, '0.9': 0.0},
    }


RESULT = {
    'masks': scores(0.8756),
    'box_fill': scores(0.7),
    'inscribed_ellipse': scores(0.75),
    'per_class': [
        {'id': 9, 'name': 'Katze', 'instances': 2, 'masks': 0.1, 'box_fill': 0.2,
         'inscribed_ellipse': 0.3, 'boundary_iou': {'masks': 0.05}},
        {'id': 40, 'name': 'dog', 'instances': 1, 'masks': 0.9, 'box_fill': 0.2,
         'inscribed_ellipse': 0.3, 'boundary_iou': {'masks': 0.05}},
        {'id': 2, 'name': 'absent', 'instances': 0, 'masks': None, 'box_fill': None,
         'inscribed_ellipse': None, 'boundary_iou': {'masks': None}},
    ],
    'quality_spearman': 0.5,
    'counts': {'missing': 0, 'left_out': 1, 'unmatched_predictions': 0, 'boxes_from_masks': 0},
    'left_out': [{'annotation_id': 5, 'reason': 'is a crowd, not an instance'}],
}  # fmt: skip


def test_the_summary_puts_masks_and_floors_side_by_side():
    lines = format_summary(RESULT).splitlines()
    assert lines[0].split() == [
        'instances', 'mIoU', 'class-mean', 'small', '(2)', 'medium', '(1)', 'large', '(0)',
        'IoU>=0.75', 'boundary', 'IoU',
    ]  # fmt: skip
    assert lines[2].split() == [
        'masks', '3', '0.876', '0.500', '0.250', '1.000', '-', '0.125', '0.625',
    ]  # fmt: skip
    assert lines[3].split()[:4] == ['box', 'fill', '3', '0.700']
    assert lines[4].split()[:4] == ['inscribed', 'ellipse', '3', '0.750']
    assert len({len(line) for line in lines[:5]}) == 1


def test_the_summary_says_what_was_left_out_and_is_silent_where_nothing_was():
    text = format_summary(RESULT)
    assert 'Spearman 0.500' in text
    assert '1 of the ground truth left out, the first: annotation 5: is a crowd' in text
    assert 'count as IoU 0' not in text
    assert 'not in the ground truth' not in text


def test_the_class_table_shows_present_classes_best_first():
    lines = format_class_table(RESULT).splitlines()
    assert [line.split() for line in lines[2:]] == [
        ['dog', '40', '1', '0.900', '0.200', '0.300', '0.050'],
        ['Katze', '9', '2', '0.100', '0.200', '0.300', '0.050'],
    ]


def average_precisions(value, classes):
    names = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl')
    per_class = [{'id': i, 'name': f'class {i}', 'AP': ap} for i, ap in classes.items()]
    return {**dict.fromkeys(names, value), 'APl': None, 'per_class': per_class}


def test_average_precision_is_shown_in_percent_for_boxes_and_masks():
    scores = {
        'bbox': average_precisions(0.5, {9: 0.25, 40: None}),
        'segm': average_precisions(0.4567, {9: 0.125, 40: None}),
    }
    lines = format_ap_table(scores, per_class=True).splitlines()
    assert lines[0].split() == ['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl']
    assert lines[2].split() == ['bbox', *['50.0'] * 5, '-']
    assert lines[3].split() == ['segm', *['45.7'] * 5, '-']
    assert lines[5].split() == ['class', 'id', 'bbox', 'AP', 'segm', 'AP']
    assert [line.split() for line in lines[7:]] == [['class', '9', '9', '25.0', '12.5']]
    assert format_ap_table(scores).splitlines() == lines[:4]
