"""A compiled program as text, small enough to count by hand."""

COLLECTIVES = """\
HloModule jit_f, is_scheduled=true, num_partitions=8

%fused (p0: bf16[1,16,32]) -> bf16[1,16,256] {
  %p0 = bf16[1,16,32]{2,1,0:T(8,128)(2,1)} parameter(0)
  ROOT %ag.1 = bf16[1,16,256]{2,1,0:T(8,128)(2,1)S(1)} all-gather(%p0), channel_id=7, replica_groups=mesh['axis_0'=8,'axis_1'=1] {'axis_0'}, dimensions={2}, metadata={op_name="jit(f)/TD,DF->TF/dot_general"}
}

%begin (p: bf16[16,8]) -> (bf16[16,8], bf16[16,64]) {
  %p = bf16[16,8]{1,0} parameter(0)
  %ag.2 = bf16[16,64]{1,0} all-gather(%p), channel_id=10, replica_groups=[1,8]<=[8], dimensions={1}
  ROOT %begun = (bf16[16,8]{1,0}, bf16[16,64]{1,0}) custom-call(%ag.2), custom_call_target="AsyncCollectiveStart"
}

%meanwhile (p: bf16[16,8], q: bf16[16,64]) -> (bf16[16,64], bf16[16,64]) {
  %p = bf16[16,8]{1,0} parameter(0)
  %q = bf16[16,64]{1,0} parameter(1)
  %ag.3 = bf16[16,64]{1,0} all-gather(%p), channel_id=10, replica_groups=[1,8]<=[8], dimensions={1}
  ROOT %both = (bf16[16,64]{1,0}, bf16[16,64]{1,0}) tuple(%q, %ag.3)
}

%body (arg: (s32[], bf16[4,16,32])) -> (s32[], bf16[4,16,32]) {
  %arg = (s32[], bf16[4,16,32]{2,1,0}) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %two = s32[] constant(2)
  %next = s32[] add(%i, %two)
  %w = bf16[4,16,32]{2,1,0} get-tuple-element(%arg), index=1
  %slice = bf16[1,16,32]{2,1,0} dynamic-slice(%w, %i, %i, %i), dynamic_slice_sizes={1,16,32}
  %start = bf16[1,16,256]{2,1,0:S(1)} fusion(%slice), kind=kCustom, calls=%fused
  %done = bf16[1,16,256]{2,1,0:S(1)} fusion(%slice), kind=kCustom, calls=%fused
  %passing = bf16[16,8]{1,0} bitcast(%slice)
  %under = (bf16[16,64]{1,0}, bf16[16,64]{1,0}) fusion(%passing, %start), kind=kCustom, calls=%meanwhile
  %reduced = (bf16[64]{0}, bf16[8,8]{1,0}) all-reduce(%start, %done), channel_id=8, replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%sum
  ROOT %out = (s32[], bf16[4,16,32]{2,1,0}) tuple(%next, %w)
}

%cond (c: (s32[], bf16[4,16,32])) -> pred[] {
  %c = (s32[], bf16[4,16,32]{2,1,0}) parameter(0)
  %n = s32[] constant(8)
  %j = s32[] get-tuple-element(%c), index=0
  ROOT %less = pred[] compare(%j, %n), direction=LT
}

ENTRY %main (x: bf16[4,16,32]) -> bf16[4,16,32] {
  %x = bf16[4,16,32]{2,1,0} parameter(0)
  %zero = s32[] constant(0)
  %part = bf16[16,8]{1,0} bitcast(%x)
  %first = (bf16[16,8]{1,0}, bf16[16,64]{1,0}) fusion(%part), kind=kCustom, calls=%begin
  %start = (s32[], bf16[4,16,32]{2,1,0}) tuple(%zero, %x)
  %loop = (s32[], bf16[4,16,32]{2,1,0}) while(%start), condition=%cond, body=%body
  %moved = (bf16[4,16,32]{2,1,0}, bf16[4,16,32]{2,1,0}, u32[], u32[]) collective-permute-start(%x), channel_id=9, source_target_pairs={{0,1},{1,0}}
  ROOT %y = bf16[4,16,32]{2,1,0} get-tuple-element(%loop), index=1
}
"""
